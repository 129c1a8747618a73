//! Where a server listens, and how it speaks there.

use std::net::TcpListener;

use crate::tls;
use crate::trace::Tracer;

/// A bound socket, with or without TLS.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<tls::Server>,
    pub(super) tracer: Tracer,
}

impl Listener {
    /// `socket`, on which everything is said over `tls` if there is any.
    #[must_use]
    pub fn new(socket: TcpListener, tls: Option<tls::Server>) -> Self {
        Self {
            socket,
            tls,
            tracer: Tracer::off(),
        }
    }

    /// The same, with a span for every call.
    #[must_use]
    pub fn traced(self, tracer: &Tracer) -> Self {
        Self {
            tracer: tracer.clone(),
            ..self
        }
    }
}

/// Without TLS.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self::new(socket, None)
    }
}
