//! A panic in a handler: INTERNAL to the client. The line about it is the panic hook's
//! ([`crate::telemetry::log_panics`]).

use std::any::Any;

use ::http::Response;
use tonic::body::Body;

use crate::status;

/// The answer to a call whose handler panicked.
pub(in crate::server) fn response(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    status::internal().into_http()
}
