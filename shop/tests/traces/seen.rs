//! Spans, as the collector wrote them down.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One span.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    resource: Map<String, Value>,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    /// Empty for the first of a trace.
    pub(crate) parent: String,
    kind: String,
    pub(crate) name: String,
    /// Nanoseconds since the epoch.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) status: String,
    attributes: Map<String, Value>,
    pub(crate) links: Vec<(String, String)>,
}

/// The spans in a file.
pub(crate) fn read(file: &Path) -> Vec<Seen> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Those of one trace.
pub(crate) fn of_trace(spans: &[Seen], trace_id: &str) -> Vec<Seen> {
    let ours = spans.iter().filter(|span| span.trace_id == trace_id);
    ours.cloned().collect()
}

impl Seen {
    /// The program that recorded it.
    pub(crate) fn service(&self) -> &str {
        self.resource["service.name"].as_str().unwrap()
    }

    /// Which instance of it, and which version.
    pub(crate) fn instance(&self) -> (&str, &str) {
        let text = |key: &str| self.resource[key].as_str().unwrap();
        (text("service.instance.id"), text("service.version"))
    }

    /// An attribute as text; empty if it has none.
    pub(crate) fn attribute(&self, key: &str) -> String {
        match self.attributes.get(key) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// `service: name, KIND`.
    pub(crate) fn told(&self) -> String {
        let kind = self.kind.trim_start_matches("SPAN_KIND_");
        format!("{}: {}, {kind}", self.service(), self.name)
    }
}

/// A trace as a tree: each span below its parent, siblings in the order of their beginnings.
pub(crate) fn tree(spans: &[Seen], parent: &str, depth: usize) -> Vec<String> {
    let mut below: Vec<_> = spans.iter().filter(|span| span.parent == parent).collect();
    below.sort_by_key(|span| (span.began, span.ended));
    let lines = below.into_iter().flat_map(|span| {
        let outcome = match span.attribute("turn.outcome").as_str() {
            "" => String::new(),
            outcome => format!(", {outcome}"),
        };
        let own = format!("{}{}{outcome}", "  ".repeat(depth), span.told());
        [vec![own], tree(spans, &span.span_id, depth + 1)].concat()
    });
    lines.collect()
}
