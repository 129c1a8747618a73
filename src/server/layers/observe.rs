//! Calls, counted by method and status, and told of in traces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::methods;
use super::traced::Served;
use crate::trace::Tracer;

/// Counts every call in `grpc_server_calls_total` and the time to its answer's beginning in
/// `grpc_server_answer_seconds`, each by method and code; with tracing on each call has a span.
#[derive(Clone, Debug)]
pub(in crate::server) struct Layer {
    tracer: Tracer,
}

impl Layer {
    pub(in crate::server) fn new(tracer: Tracer) -> Self {
        Self { tracer }
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            inner,
            tracer: self.tracer.clone(),
        }
    }
}

/// The service under observation.
#[derive(Clone, Debug)]
pub(in crate::server) struct Observed<S> {
    inner: S,
    tracer: Tracer,
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = methods::name(request.uri().path());
        let mut call = Call {
            method,
            begun: Instant::now(),
            code: None,
            span: Served::begin(&self.tracer, method, request.headers_mut()),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            call.code = code(response.headers());
            call.answered();
            Ok(response.map(|inner| Body::new(Counted { inner, call })))
        })
    }
}

/// A call under way; counted when it is over, also when its client has gone away.
struct Call {
    method: &'static str,
    begun: Instant,
    code: Option<Code>,
    span: Option<Box<Served>>,
}

impl Call {
    /// An answer that begins with anything but a refusal is a good one as far as it has come.
    fn answered(&self) {
        let code = format!("{:?}", self.code.unwrap_or(Code::Ok));
        metrics::histogram!("grpc_server_answer_seconds", "method" => self.method, "code" => code)
            .record(self.begun.elapsed());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        if let Some(span) = self.span.take() {
            span.end(code);
        }
        let code = format!("{code:?}");
        metrics::counter!("grpc_server_calls_total", "method" => self.method, "code" => code)
            .increment(1);
    }
}

/// A connection that is open; counted as long as it lives.
pub(in crate::server) struct Connection(metrics::Gauge);

impl Connection {
    /// A client has connected.
    pub(in crate::server) fn opened() -> Self {
        let open = connections();
        open.increment(1);
        Self(open)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn connections() -> metrics::Gauge {
    metrics::gauge!("grpc_server_connections")
}

/// `grpc-status` of headers or trailers.
fn code(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get("grpc-status")?;
    Some(Code::from_bytes(status.as_bytes()))
}

/// A body that tells the call's status when it has passed.
struct Counted {
    inner: Body,
    call: Call,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.code = code(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
