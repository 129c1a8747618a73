//! The span of a call (semantic conventions for RPC and gRPC).

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use tonic::Code;

use super::methods::UNKNOWN;
use crate::status;
use crate::trace::{Kind, Recorder, Span, SpanContext, TRACEPARENT, TRACESTATE, Tracer};

/// Services that are called all day by those who watch over this one: they begin no traces.
const WATCHED: &str = "/grpc.";
/// What a method that is not served is called.
const OTHER: &str = "_OTHER";

/// A call whose trace is recorded.
pub(super) struct Served {
    recorder: Arc<Recorder>,
    method: &'static str,
    parent: Option<SpanContext>,
    context: SpanContext,
    began: Duration,
}

impl Served {
    /// Takes a call into its caller's trace, or into a new one, and puts the call's own place into
    /// `headers`: what it causes is below it. A caller's decision to record nothing is passed on as it
    /// came.
    pub(super) fn begin(
        tracer: &Tracer,
        method: &'static str,
        headers: &mut HeaderMap,
    ) -> Option<Box<Self>> {
        let recorder = tracer.recorder()?;
        let parent = headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok()?.parse::<SpanContext>().ok());
        let context = match parent {
            Some(parent) if !parent.is_sampled() => return None,
            Some(parent) => parent.child(recorder.span_id()),
            None if method.starts_with(WATCHED) => return None,
            None => {
                // It belongs to a trace that is none.
                headers.remove(TRACESTATE);
                recorder.root()
            }
        };
        // Hexadecimal digits and hyphens are a header's value.
        if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
            headers.insert(TRACEPARENT, value);
        }
        context.is_sampled().then(|| {
            Box::new(Self {
                recorder: Arc::clone(recorder),
                method,
                parent,
                context,
                began: recorder.now(),
            })
        })
    }

    /// The call is over.
    pub(super) fn end(self, code: Code) {
        let method = match self.method {
            UNKNOWN => OTHER,
            path => path.trim_start_matches('/'),
        };
        let times = (self.began, self.recorder.now());
        let (name, kind) = (method.to_owned(), Kind::Server);
        let mut span = Span::below(self.context, self.context, name, kind, times);
        span.parent = self.parent.map(|parent| parent.span_id);
        span.attributes = vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", method.into()),
            ("rpc.response.status_code", status::code_name(code).into()),
        ];
        span.error = is_failure(code).then(|| status::code_name(code).into());
        self.recorder.record(span);
    }
}

/// The codes that are a server's own failures; the others are answers to what a client asked (semantic
/// conventions for gRPC).
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::clock::SystemClock;
    use crate::ids::SystemIds;

    const METHOD: &str = "/shop.v1.OrderService/PlaceOrder";
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(ratio: f64) -> (Tracer, Receiver<Span>) {
        Tracer::into_queue(Arc::new(SystemClock), Arc::new(SystemIds), ratio)
    }

    fn headers(traceparent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent.parse().unwrap());
        headers.insert(TRACESTATE, "vendor=1".parse().unwrap());
        headers
    }

    fn context(headers: &HeaderMap) -> SpanContext {
        headers[TRACEPARENT].to_str().unwrap().parse().unwrap()
    }

    #[test]
    fn a_call_is_a_span_in_its_callers_trace_and_what_it_causes_is_below() {
        let (tracer, mut spans) = tracer(0.0);
        let mut headers = headers(TRACE);
        let served = Served::begin(&tracer, METHOD, &mut headers).unwrap();
        served.end(Code::NotFound);
        let span = spans.try_recv().unwrap();
        assert_eq!(span.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(span.context, context(&headers));
        assert_eq!(
            span.context.trace_id,
            TRACE.parse::<SpanContext>().unwrap().trace_id
        );
        assert_eq!(headers[TRACESTATE], "vendor=1");
        assert_eq!(span.name, "shop.v1.OrderService/PlaceOrder");
        let status = ("rpc.response.status_code", "NOT_FOUND".into());
        assert!(span.attributes.contains(&status));
        assert_eq!(span.error, None, "the client asked for what is not there");
    }

    #[test]
    fn a_servers_failure_is_an_error() {
        let (tracer, mut spans) = tracer(1.0);
        let served = Served::begin(&tracer, UNKNOWN, &mut headers(TRACE)).unwrap();
        served.end(Code::Unimplemented);
        let span = spans.try_recv().unwrap();
        assert_eq!(span.error.as_deref(), Some("UNIMPLEMENTED"));
        assert_eq!(span.name, OTHER);
    }

    #[test]
    fn a_caller_that_records_nothing_is_followed() {
        let (tracer, _spans) = tracer(1.0);
        let unsampled = TRACE.replace("-01", "-00");
        let mut headers = headers(&unsampled);
        assert!(Served::begin(&tracer, METHOD, &mut headers).is_none());
        assert_eq!(headers[TRACEPARENT], unsampled);
    }

    #[test]
    fn a_call_without_a_trace_begins_one_and_decides_for_all_that_follows() {
        let (all, mut spans) = tracer(1.0);
        let mut begun = headers("nothing");
        Served::begin(&all, METHOD, &mut begun)
            .unwrap()
            .end(Code::Ok);
        let span = spans.try_recv().unwrap();
        assert_eq!(span.parent, None);
        assert_eq!(span.context, context(&begun));
        assert!(!begun.contains_key(TRACESTATE), "it was another trace's");
        let (none, _spans) = tracer(0.0);
        let mut begun = HeaderMap::new();
        assert!(Served::begin(&none, METHOD, &mut begun).is_none());
        assert!(!context(&begun).is_sampled(), "the services are told so");
    }

    #[test]
    fn those_who_watch_over_a_server_begin_no_traces() {
        let (tracer, _spans) = tracer(1.0);
        let check = "/grpc.health.v1.Health/Check";
        let mut none = HeaderMap::new();
        assert!(Served::begin(&tracer, check, &mut none).is_none());
        assert!(none.is_empty());
        assert!(Served::begin(&tracer, check, &mut headers(TRACE)).is_some());
    }

    #[test]
    fn without_tracing_headers_stay_as_they_came() {
        let mut headers = headers("nothing");
        assert!(Served::begin(&Tracer::off(), METHOD, &mut headers).is_none());
        assert_eq!(headers[TRACEPARENT], "nothing");
        assert_eq!(headers[TRACESTATE], "vendor=1");
    }
}
