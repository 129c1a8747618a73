//! Headers of records as metadata of messages.
//!
//! A header is a byte that stands for a known name or for one of its own, a byte for the length of its
//! value, and the value. Promises: metadata that is read is the same once it was written again, for that
//! is what a replay does with it; so is a trace context, and it names a trace and a span.

use bytes::Bytes;
use messaging::envelope::{Envelope, header_name};
use messaging::log::HeaderName;
use messaging::trace::SpanContext;

/// Bytes of memory.
pub const MEMORY: usize = 4 << 20;

/// The names of a message's headers, as `messaging::envelope` writes them.
pub const NAMES: [&str; 11] = [
    "ce_causationid",
    "ce_correlationid",
    "ce_id",
    "ce_source",
    "ce_specversion",
    "ce_subject",
    "ce_time",
    "ce_type",
    "content-type",
    "traceparent",
    "tracestate",
];

/// Trial of the headers of one record.
pub fn run(data: &[u8]) {
    let headers = headers(data);
    if let Ok(read) = Envelope::from_headers(&headers) {
        assert_eq!(
            Envelope::from_headers(&read.to_headers()).as_ref(),
            Ok(&read)
        );
    }
    let values = headers.iter().map(|(_, value)| value.as_ref());
    let texts = values.chain([data]).map(std::str::from_utf8);
    texts.flatten().for_each(traced);
}

fn traced(text: &str) {
    if let Ok(context) = text.parse::<SpanContext>() {
        assert!(context.trace_id != 0 && context.span_id != 0);
        assert_eq!(
            context.to_string().parse::<SpanContext>(),
            Ok(context),
            "{text}"
        );
        assert_eq!(context.is_sampled(), context.flags() & 1 == 1);
    }
}

fn headers(mut data: &[u8]) -> Vec<(HeaderName, Bytes)> {
    let mut headers = Vec::new();
    while let [name, length, rest @ ..] = data {
        let (value, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        let name = match NAMES.get(usize::from(*name)) {
            Some(known) => header_name(*known),
            None => header_name(format!("x{name}")),
        };
        headers.push((name, Bytes::copy_from_slice(value)));
        data = rest;
    }
    headers
}
