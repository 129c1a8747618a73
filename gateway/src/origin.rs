//! What a call carries beside its content: who asks, under which id, in which trace.

use messaging::trace::{SpanContext, TRACEPARENT, TRACESTATE};
use tonic::metadata::MetadataMap;

use crate::visitor::Visitor;

/// Longest `tracestate` that is passed on (W3C Trace Context, section 3.3.1.5).
const TRACESTATE_LEN_MAX: usize = 512;

/// Who asked: what a command carries beside its content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The client's, or empty.
    pub(crate) request_id: String,
    pub(crate) visitor: Visitor,
}

impl Origin {
    /// The request id as given, of whoever calls.
    pub(crate) fn new(request_id: &str, visitor: Visitor) -> Self {
        Self {
            request_id: request_id.to_owned(),
            visitor,
        }
    }

    /// The same call's origin of another request.
    pub(crate) fn of(&self, request_id: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            ..self.clone()
        }
    }
}

/// The W3C trace context of a call: the gateway's own span where it records one, else the client's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    parent: Option<String>,
    state: Option<String>,
}

impl Trace {
    /// That of a call's metadata; one that is malformed is none.
    pub(crate) fn of(metadata: &MetadataMap) -> Self {
        let text = |name| {
            let value = metadata.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let is_one = |value: &String| value.parse::<SpanContext>().is_ok();
        let parent = text(TRACEPARENT).filter(is_one);
        let state =
            text(TRACESTATE).filter(|value| parent.is_some() && value.len() <= TRACESTATE_LEN_MAX);
        Self { parent, state }
    }

    /// `traceparent`.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// `tracestate`.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Takes a call of another service into the trace.
    pub(crate) fn pass_on(&self, metadata: &mut MetadataMap) {
        let headers = [(TRACEPARENT, &self.parent), (TRACESTATE, &self.state)];
        for (name, value) in headers {
            // What came as metadata is some.
            if let Some(Ok(value)) = value.as_ref().map(|value| value.parse()) {
                metadata.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_context_is_passed_on_if_it_is_one() {
        let mut metadata = MetadataMap::new();
        metadata.insert("traceparent", TRACE.parse().unwrap());
        metadata.insert("tracestate", "vendor=1".parse().unwrap());
        let trace = Trace::of(&metadata);
        assert_eq!(trace.parent(), Some(TRACE));
        assert_eq!(trace.state(), Some("vendor=1"));
        let mut call = MetadataMap::new();
        trace.pass_on(&mut call);
        assert_eq!(call.get("traceparent").unwrap(), TRACE);
        assert_eq!(call.get("tracestate").unwrap(), "vendor=1");

        for none in ["00-nothing", &format!("{TRACE}-00"), &TRACE.to_uppercase()] {
            metadata.insert("traceparent", none.parse().unwrap());
            let trace = Trace::of(&metadata);
            assert_eq!((trace.parent(), trace.state()), (None, None), "{none}");
            let mut call = MetadataMap::new();
            trace.pass_on(&mut call);
            assert!(call.is_empty());
        }
    }

    #[test]
    fn a_state_that_is_too_long_is_left_out() {
        let mut metadata = MetadataMap::new();
        metadata.insert("traceparent", TRACE.parse().unwrap());
        let long = "v".repeat(TRACESTATE_LEN_MAX + 1);
        metadata.insert("tracestate", long.parse().unwrap());
        let trace = Trace::of(&metadata);
        assert_eq!((trace.parent(), trace.state()), (Some(TRACE), None));
    }
}
