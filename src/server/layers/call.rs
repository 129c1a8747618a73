//! The client's trace on every line that its call causes here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use tracing::{Instrument, Span};

use crate::envelope;

/// Puts the trace id of a call's `traceparent` on the lines that are logged while the call is handled
/// and its answer is read. A call without one costs nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Layer;

impl<S> tower::Layer<S> for Layer {
    type Service = Told<S>;

    fn layer(&self, inner: S) -> Told<S> {
        Told { inner }
    }
}

/// The service whose lines are told with the trace.
#[derive(Clone, Debug)]
pub(in crate::server) struct Told<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Told<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(span) = span(request.headers()) else {
            return Either::Left(self.inner.call(request));
        };
        let answer = span.in_scope(|| self.inner.call(request));
        let answer = answer.instrument(span.clone());
        Either::Right(Box::pin(async move {
            let response = answer.await?;
            Ok(response.map(|inner| Body::new(Spoken { inner, span })))
        }))
    }
}

fn span(headers: &HeaderMap) -> Option<Span> {
    let traceparent = headers.get("traceparent")?.to_str().ok()?;
    let trace_id = envelope::trace_id(traceparent)?;
    Some(tracing::error_span!("call", trace_id))
}

/// A body whose making belongs to the call.
struct Spoken {
    inner: Body,
    span: Span,
}

impl http_body::Body for Spoken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _call = this.span.enter();
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
