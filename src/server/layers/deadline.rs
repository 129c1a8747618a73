//! Deadlines: what a call may take, answered as DEADLINE_EXCEEDED.
//!
//! Until the handler has answered, a call has the client's `grpc-timeout` or the server's maximum,
//! whichever is shorter; that covers a request body that dribbles in. Then the handler is dropped:
//! work that must finish belongs to a task of its own. A stream, once the handler has opened it,
//! has the client's timeout if it gave one, and no end otherwise; when the server shuts down it
//! ends after a grace.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::{limits, status};

/// When a call has to be over; handlers find it with [`Deadline::of`].
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    call: Instant,
    stream: Option<Instant>,
}

impl Deadline {
    /// The deadline of a call; [`limits::CALL_DEADLINE_MAX`] from now if no server set one.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request
            .extensions()
            .get()
            .copied()
            .unwrap_or_else(|| Self::after(None, limits::CALL_DEADLINE_MAX))
    }

    /// The deadline that `client_timeout` gives, capped at `call_max` until the handler answers.
    #[must_use]
    pub fn after(client_timeout: Option<Duration>, call_max: Duration) -> Self {
        let now = Instant::now();
        Self {
            call: now + client_timeout.unwrap_or(call_max).min(call_max),
            stream: client_timeout.and_then(|timeout| now.checked_add(timeout)),
        }
    }

    /// Time left until the handler must have answered.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.call.saturating_duration_since(Instant::now())
    }

    /// Time left for a stream, if the client limits it.
    #[must_use]
    pub fn stream_remaining(self) -> Option<Duration> {
        self.stream
            .map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// Sets and watches deadlines.
#[derive(Clone, Debug)]
pub(in crate::server) struct Layer {
    call_max: Duration,
    drain_max: Duration,
    shutdown: CancellationToken,
}

impl Layer {
    pub(in crate::server) fn new(
        call_max: Duration,
        drain_max: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            call_max,
            drain_max,
            shutdown,
        }
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched {
            inner,
            settings: self.clone(),
        }
    }
}

/// The service under deadlines.
#[derive(Clone, Debug)]
pub(in crate::server) struct Watched<S> {
    inner: S,
    settings: Layer,
}

impl<S> Service<Request<Body>> for Watched<S>
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
        let client_timeout = grpc_timeout(request.headers());
        let deadline = Deadline::after(client_timeout, self.settings.call_max);
        request.extensions_mut().insert(deadline);
        let answer = self.inner.call(request);
        let settings = self.settings.clone();
        Box::pin(async move {
            let Ok(answered) = tokio::time::timeout_at(deadline.call, answer).await else {
                return Ok(exceeded().into_http());
            };
            Ok(answered?.map(|inner| Body::new(Bounded::new(inner, deadline, settings))))
        })
    }
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline passed before the answer was complete")
}

/// A response body that ends with its deadline, or some time after the server's shutdown.
struct Bounded {
    inner: Body,
    deadline: Option<Pin<Box<Sleep>>>,
    settings: Layer,
    drain: Option<BoxFuture<'static, ()>>,
    ended: bool,
}

impl Bounded {
    fn new(inner: Body, deadline: Deadline, settings: Layer) -> Self {
        Self {
            inner,
            deadline: deadline
                .stream
                .map(|end| Box::pin(tokio::time::sleep_until(end))),
            settings,
            drain: None,
            ended: false,
        }
    }

    /// The status that ends the stream now, if one does.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(exceeded());
        }
        let settings = &self.settings;
        // Made on the first wait only: the answer of a unary call never waits.
        let drain = self.drain.get_or_insert_with(|| {
            let (shutdown, grace) = (settings.shutdown.clone(), settings.drain_max);
            Box::pin(async move {
                shutdown.cancelled_owned().await;
                tokio::time::sleep(grace).await;
            })
        });
        drain
            .as_mut()
            .poll(cx)
            .map(|()| status::unavailable("the server is shutting down; connect again"))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        this.poll_end(cx).map(|status| {
            this.ended = true;
            this.inner = Body::empty();
            let mut trailers = HeaderMap::new();
            Some(
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            )
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The client's `grpc-timeout`: at most 8 digits and a unit (gRPC over HTTP/2, "Requests").
/// What cannot be read counts as absent.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 60 * 60)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            grpc_timeout(&headers)
        };
        for (text, timeout) in [
            ("2H", Some(Duration::from_secs(7_200))),
            ("3M", Some(Duration::from_secs(180))),
            ("10S", Some(Duration::from_secs(10))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("100000000n", None),
            ("+1S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("1 S", None),
        ] {
            assert_eq!(read(text), timeout, "{text:?}");
        }
        assert_eq!(grpc_timeout(&HeaderMap::new()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_capped_and_a_stream_is_not() {
        let deadline = Deadline::after(Some(Duration::from_secs(90)), Duration::from_secs(30));
        assert_eq!(deadline.remaining(), Duration::from_secs(30));
        assert_eq!(deadline.stream_remaining(), Some(Duration::from_secs(90)));
        let unlimited = Deadline::after(None, Duration::from_secs(30));
        assert_eq!(unlimited.remaining(), Duration::from_secs(30));
        assert_eq!(unlimited.stream_remaining(), None);
        let forever = Duration::from_secs(99_999_999 * 3_600);
        let far = Deadline::after(Some(forever), Duration::from_secs(30));
        assert_eq!(far.remaining(), Duration::from_secs(30));
    }
}
