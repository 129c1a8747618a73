//! Where a registry answers differently, and why.

use serde::Deserialize;
use serde_json::Value;

use crate::client::CONTENT_TYPE;

/// All deviations of a registry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deviations {
    /// The content type of its refusals, where a row has no other.
    #[serde(default = "documented")]
    pub(crate) refusal_content_type: String,
    /// Why it gives no messages with a verdict, if it does not.
    pub(crate) no_messages: Option<String>,
    pub(crate) answers: Vec<Deviation>,
}

/// One answer to a step of `cases.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deviation {
    pub(crate) case: String,
    /// Its number in the case, from 1.
    pub(crate) step: usize,
    /// The request, to be read and to be held against that of the step.
    pub(crate) ask: String,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Value,
    pub(crate) why: String,
}

fn documented() -> String {
    CONTENT_TYPE.to_owned()
}

impl Deviations {
    pub(crate) fn embedded() -> Self {
        Self::read(include_str!("embedded.json"))
    }

    pub(crate) fn apicurio() -> Self {
        Self::read(include_str!("apicurio.json"))
    }

    fn read(json: &str) -> Self {
        let read: Self = serde_json::from_str(json).unwrap();
        let reasons = read.answers.iter().map(|row| &row.why);
        for why in reasons.chain(&read.no_messages) {
            assert!(!why.is_empty(), "a deviation has a reason");
        }
        read
    }
}
