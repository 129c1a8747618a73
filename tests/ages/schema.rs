//! Small edits of a schema.

use serde_json::{Value, json};

/// A schema's text, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Text(Value);

impl Text {
    pub(crate) fn of(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("a schema is JSON"))
    }

    /// For the life of the process, as the texts of shipped schemas are.
    pub(crate) fn leak(&self) -> &'static str {
        self.0.to_string().leak()
    }

    pub(crate) fn with(mut self, field: &Value) -> Self {
        self.fields().push(field.clone());
        self
    }

    pub(crate) fn with_in_lines(mut self, field: &Value) -> Self {
        self.line_fields().push(field.clone());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields().retain(|field| field["name"] != name);
        self
    }

    /// With a default of a field that has none.
    pub(crate) fn with_default(mut self, name: &str, default: &Value) -> Self {
        self.field(name)["default"] = default.clone();
        self
    }

    /// The fields in the reverse order, here and in the lines.
    pub(crate) fn reversed(mut self) -> Self {
        self.fields().reverse();
        self.line_fields().reverse();
        self
    }

    /// With other words for people, everywhere that there are some.
    pub(crate) fn documented_otherwise(mut self) -> Self {
        self.0["doc"] = "Said otherwise.".into();
        for field in self.fields() {
            field["doc"] = "Said otherwise.".into();
        }
        for field in self.line_fields() {
            field["doc"] = "Said otherwise.".into();
        }
        self
    }

    /// With the namespace as a part of the name.
    pub(crate) fn named_in_full(mut self) -> Self {
        let record = self.0.as_object_mut().expect("a message is a record");
        let namespace = record.remove("namespace").expect("it has a namespace");
        let name = [namespace.as_str(), record["name"].as_str()].map(|part| part.expect("text"));
        record.insert("name".to_owned(), name.join(".").into());
        self
    }

    /// With these symbols of `on_shortage`, of which the first is the default symbol.
    pub(crate) fn on_shortage(mut self, symbols: &[&str]) -> Self {
        let of = &mut self.field("on_shortage")["type"];
        of["symbols"] = json!(symbols);
        of["default"] = json!(symbols[0]);
        self
    }

    fn fields(&mut self) -> &mut Vec<Value> {
        let fields = self.0["fields"].as_array_mut();
        fields.expect("a record has fields")
    }

    fn field(&mut self, name: &str) -> &mut Value {
        let mut fields = self.fields().iter_mut();
        let field = fields.find(|field| field["name"] == name);
        field.expect("the record has this field")
    }

    fn line_fields(&mut self) -> &mut Vec<Value> {
        let fields = self.field("lines")["type"]["items"]["fields"].as_array_mut();
        fields.expect("a line is a record")
    }
}
