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
use crate::trace::TRACEPARENT;

/// Puts the trace id of a call's `traceparent` on the lines that are logged while the call is handled
/// and its answer is read. A call without one costs nothing.
/// It stands within [`super::observe`], which begins a trace where the client has none.
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
    let traceparent = headers.get(TRACEPARENT)?.to_str().ok()?;
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::{Layer as _, ServiceExt};

    use super::*;
    use crate::telemetry::LogFormat;
    use crate::telemetry::layer::tests::written;

    /// An answer that is logged about while it is read.
    struct Talking;

    impl http_body::Body for Talking {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            tracing::warn!("read");
            Poll::Ready(None)
        }
    }

    /// The lines of a call with these headers, each with its trace id.
    fn lines(headers: &'static [(&'static str, &'static str)]) -> Vec<(String, Option<String>)> {
        let text = written(LogFormat::Json, |_| {
            let handler = tower::service_fn(|_: Request<Body>| async {
                tracing::warn!("begun");
                tokio::task::yield_now().await;
                tracing::warn!("handled");
                Ok::<_, Infallible>(Response::new(Body::new(Talking)))
            });
            let mut request = Request::new(Body::empty());
            for (name, value) in headers {
                request.headers_mut().append(*name, value.parse().unwrap());
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async {
                let answer = Layer.layer(handler).oneshot(request).await.unwrap();
                answer.into_body().collect().await.unwrap();
                tracing::warn!("after");
            });
        });
        let text = text.lines().map(|line| serde_json::from_str(line).unwrap());
        text.map(|line: serde_json::Value| {
            let text = |name: &str| line[name].as_str().map(str::to_owned);
            (text("message").unwrap(), text("trace_id"))
        })
        .collect()
    }

    #[test]
    fn what_a_call_causes_is_told_with_its_clients_trace() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let told = lines(&[("traceparent", TRACE)]);
        let of_the_call = Some(TRACE[3..35].to_owned());
        for (index, message) in ["begun", "handled", "read"].into_iter().enumerate() {
            assert_eq!(told[index], (message.to_owned(), of_the_call.clone()));
        }
        assert_eq!(told[3], ("after".to_owned(), None));
        for none in [&[][..], &[("traceparent", "00-nothing")]] {
            assert!(lines(none).iter().all(|(_, trace_id)| trace_id.is_none()));
            assert_eq!(lines(none).len(), 4);
        }
    }
}
