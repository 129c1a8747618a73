//! Where in a schema something is: for programs and for people.

/// A place in a schema, built on the way down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pointer: String,
    field: String,
}

impl Place {
    /// The schema as a whole.
    pub(crate) fn root() -> Self {
        Self {
            pointer: String::new(),
            field: String::new(),
        }
    }

    /// A JSON pointer, `/` for the schema as a whole.
    pub(crate) fn pointer(&self) -> &str {
        match self.pointer.as_str() {
            "" => "/",
            pointer => pointer,
        }
    }

    /// As people write it: `lines[].quantity`; empty for the schema as a whole.
    pub(crate) fn field(&self) -> &str {
        &self.field
    }

    /// A field of the record here.
    pub(crate) fn of_field(&self, at: usize, name: &str) -> Self {
        let dot = if self.field.is_empty() { "" } else { "." };
        self.down(&format!("fields/{at}"), &format!("{dot}{name}"))
    }

    /// The items of the array here.
    pub(crate) fn items(&self) -> Self {
        self.down("items", "[]")
    }

    /// The values of the map here.
    pub(crate) fn values(&self) -> Self {
        self.down("values", "{}")
    }

    /// A branch of the union here.
    pub(crate) fn branch(&self, at: usize) -> Self {
        self.down(&at.to_string(), "")
    }

    /// An attribute of the field or type here.
    pub(crate) fn part(&self, name: &str) -> Self {
        self.down(name, "")
    }

    fn down(&self, pointer: &str, field: &str) -> Self {
        Self {
            pointer: format!("{}/{pointer}", self.pointer),
            field: format!("{}{field}", self.field),
        }
    }
}
