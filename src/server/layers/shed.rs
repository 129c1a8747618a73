//! Load shed: calls beyond the limit are refused at once, with advice when to come back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::{OPEN, methods};
use crate::server::Limits;
use crate::server::share::{Kind, Place, Share};
use crate::status;

/// Limits the calls in flight over all connections, those that answer with a stream apart from the
/// others; a call ends with the last byte of its answer, so an open stream counts. What is left is
/// shared: see [`Share::take`].
#[derive(Clone, Debug)]
pub(in crate::server) struct Layer {
    places: Places,
}

/// For calls with one answer, and for those with a stream.
#[derive(Clone, Debug)]
struct Places {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Layer {
    pub(in crate::server) fn new(limits: &Limits) -> Self {
        shed().increment(0);
        let places = |max| Arc::new(Semaphore::new(max));
        Self {
            places: Places {
                calls: places(limits.calls_in_flight_max),
                streams: places(limits.streams_in_flight_max),
            },
        }
    }
}

/// Calls that were refused because too many were in flight.
fn shed() -> metrics::Counter {
    metrics::counter!("grpc_server_shed_total")
}

impl<S> tower::Layer<S> for Layer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed {
            inner,
            places: self.places.clone(),
        }
    }
}

/// The service behind the limit.
#[derive(Clone, Debug)]
pub(in crate::server) struct Shed<S> {
    inner: S,
    places: Places,
}

impl<S> Service<Request<Body>> for Shed<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if OPEN.iter().any(|prefix| path.starts_with(prefix)) {
            return Box::pin(self.inner.call(request));
        }
        let (kind, places, told) = match methods::streams(path) {
            true => (
                Kind::Stream,
                &self.places.streams,
                "too many streams are open; try again later",
            ),
            false => (
                Kind::Call,
                &self.places.calls,
                "too many calls at once; try again later",
            ),
        };
        let share = request.extensions().get::<Share>().cloned();
        let Some(mut place) = share.unwrap_or_default().take(kind, places) else {
            shed().increment(1);
            let refusal = status::exhausted(told);
            return Box::pin(std::future::ready(Ok(refusal.into_http())));
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            place.answered();
            Ok(response.map(|inner| {
                Body::new(Held {
                    inner,
                    _place: place,
                })
            }))
        })
    }
}

/// A body that counts as a call in flight until it is dropped.
struct Held {
    inner: Body,
    _place: Place,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
