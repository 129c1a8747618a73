//! Streams end with the token that opened them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::HeaderMap;
use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};

use crate::auth::{Claims, Verifier};
use crate::status;

/// An answer that ends with UNAUTHENTICATED once the claims of its caller have expired.
pub(super) struct Expiring {
    inner: Body,
    verifier: Arc<Verifier>,
    claims: Claims,
    /// Made on the first wait only: the answer of a unary call never waits.
    expiry: Option<BoxFuture<'static, ()>>,
    ended: bool,
}

impl Expiring {
    pub(super) fn new(inner: Body, verifier: Arc<Verifier>, claims: Claims) -> Self {
        Self {
            inner,
            verifier,
            claims,
            expiry: None,
            ended: false,
        }
    }

    fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let expiry = self.expiry.get_or_insert_with(|| {
            let (verifier, claims) = (Arc::clone(&self.verifier), self.claims.clone());
            Box::pin(async move { verifier.expiry(&claims).await })
        });
        expiry.as_mut().poll(cx)
    }

    /// The end of the stream, as trailers.
    fn end(&mut self) -> Result<Frame<Bytes>, axum::Error> {
        self.ended = true;
        self.inner = Body::empty();
        let mut trailers = HeaderMap::new();
        let written = status::expired().add_header(&mut trailers);
        written.map_err(axum::Error::new)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for Expiring {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        // A stream that always has something more must end too.
        if this.expiry.is_some() && this.poll_expiry(cx).is_ready() {
            return Poll::Ready(Some(this.end()));
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        this.poll_expiry(cx).map(|()| Some(this.end()))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
