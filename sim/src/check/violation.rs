//! Something that did not hold.

use std::fmt;

/// An invariant by its name in the list, and what was found instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// What a check comes to.
pub(crate) type Checked = Result<(), Violation>;

/// `invariant` holds if `holds`; else `detail` says what was found.
pub(crate) fn require(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Violation {
        invariant,
        detail: detail(),
    })
}

/// `invariant` does not hold: `detail` says what was found.
pub(crate) fn violated<V>(invariant: &'static str, detail: String) -> Result<V, Violation> {
    Err(Violation { invariant, detail })
}
