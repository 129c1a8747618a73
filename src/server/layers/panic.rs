//! A panic in a handler: INTERNAL to the client, the panic's words to the log.

use std::any::Any;

use ::http::Response;
use tonic::body::Body;

use crate::status;

/// The answer to a call whose handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the panic layer's signature")]
pub(in crate::server) fn response(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("not text");
    tracing::error!(panic = words, "a handler panicked");
    status::internal().into_http()
}
