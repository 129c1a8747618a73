//! Spans as OTLP's messages: the part of `opentelemetry/proto/{collector/trace,trace,common,resource}/v1`
//! (OTLP 1.x, stable) that is written here, by the numbers of its fields.
//!
//! The generated crates bring OpenTelemetry's whole SDK along; the tests read what is sent with them.

use prost::{Message, Oneof};

use super::{Kind, Span, SpanContext, Value};

/// The call that takes them.
pub(super) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// What the collector took.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// Who tells: the attributes of every span of one program.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<OtlpStatus>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct OtlpStatus {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "AnyKind", tags = "1, 3")]
    value: Option<AnyKind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum AnyKind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;

impl Resource {
    /// An instance of a service, by the semantic conventions.
    pub(super) fn service(name: &str, instance: String) -> Self {
        let attributes = [
            ("service.name", Value::from(name.to_owned())),
            ("service.instance.id", instance.into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
        ];
        Self {
            attributes: attributes.map(KeyValue::from).into(),
        }
    }
}

impl ExportRequest {
    /// The spans of one program.
    pub(super) fn of(resource: &Resource, spans: Vec<Span>) -> Self {
        let scope = Scope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let spans = ScopeSpans {
            scope: Some(scope),
            spans: spans.into_iter().map(OtlpSpan::from).collect(),
        };
        Self {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource.clone()),
                scope_spans: vec![spans],
            }],
        }
    }
}

impl ExportResponse {
    /// How many spans the collector did not want, and why.
    pub(super) fn rejected(self) -> (u64, String) {
        let partial = self.partial_success.unwrap_or_default();
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
        (rejected, partial.error_message)
    }
}

impl From<Span> for OtlpSpan {
    fn from(span: Span) -> Self {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut attributes: Vec<_> = span.attributes.into_iter().map(KeyValue::from).collect();
        let failed = span.error.is_some();
        let error = span.error.map(|error| ("error.type", Value::Text(error)));
        attributes.extend(error.map(KeyValue::from));
        Self {
            trace_id: span.context.trace_id.to_be_bytes().into(),
            span_id: span.context.span_id.to_be_bytes().into(),
            parent_span_id: span
                .parent
                .map(|parent| parent.to_be_bytes().into())
                .unwrap_or_default(),
            name: span.name,
            kind: number(span.kind),
            start_time_unix_nano: nanos(span.began),
            end_time_unix_nano: nanos(span.ended),
            attributes,
            links: span.links.into_iter().map(Link::from).collect(),
            status: failed.then_some(OtlpStatus { code: STATUS_ERROR }),
            flags: span.context.flags().into(),
        }
    }
}

/// `SpanKind`.
fn number(kind: Kind) -> i32 {
    match kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
    }
}

impl From<SpanContext> for Link {
    fn from(context: SpanContext) -> Self {
        Self {
            trace_id: context.trace_id.to_be_bytes().into(),
            span_id: context.span_id.to_be_bytes().into(),
            flags: context.flags().into(),
        }
    }
}

impl From<(&'static str, Value)> for KeyValue {
    fn from((key, value): (&'static str, Value)) -> Self {
        let value = match value {
            Value::Text(text) => AnyKind::Text(text.into_owned()),
            Value::Number(number) => AnyKind::Number(number),
        };
        Self {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }
}
