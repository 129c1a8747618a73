//! Servers: gRPC with its defences, and HTTP for metrics and readiness.
//!
//! A server takes a bound listener and a shutdown token. tonic's own `Server` is not used: it has
//! no cap on connections, waits without limit for half a preface and for calls in flight at
//! shutdown, closes aged connections without a GOAWAY when given a grace, and answers CANCELLED
//! where a deadline has passed. What it is built from (hyper) has all the settings.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::limits;

mod connections;
mod grpc;
mod health;
mod http;
pub mod layers;
mod listener;
mod share;
mod signals;

pub use grpc::{routes, serve_grpc, serve_grpc_within};
pub use health::{HealthFollower, health_service};
pub use http::{serve_http, serve_http_within};
pub use layers::{Deadline, Guard};
pub use listener::Listener;
pub use signals::cancel_on_signal;

/// The limits of a server; the defaults are those of [`limits`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// [`limits::CALL_DEADLINE_MAX`].
    pub call_deadline_max: Duration,
    /// [`limits::CALLS_IN_FLIGHT_MAX`].
    pub calls_in_flight_max: usize,
    /// [`limits::STREAMS_IN_FLIGHT_MAX`].
    pub streams_in_flight_max: usize,
    /// [`limits::CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// [`limits::STREAMS_PER_CONNECTION_MAX`].
    pub streams_per_connection_max: u32,
    /// [`limits::LOCAL_RESETS_MAX`].
    pub local_resets_max: usize,
    /// [`limits::HEADER_LIST_BYTES_MAX`].
    pub header_list_bytes_max: u32,
    /// [`limits::ANSWER_TAKEN_MAX`].
    pub answer_taken_max: Duration,
    /// [`limits::HANDSHAKE_MAX`].
    pub handshake_max: Duration,
    /// [`limits::KEEPALIVE_INTERVAL`].
    pub keepalive_interval: Duration,
    /// [`limits::KEEPALIVE_TIMEOUT`].
    pub keepalive_timeout: Duration,
    /// [`limits::CONNECTION_AGE_MAX`].
    pub connection_age_max: Duration,
    /// [`limits::CONNECTION_AGE_GRACE`].
    pub connection_age_grace: Duration,
    /// [`limits::STREAM_DRAIN_MAX`].
    pub stream_drain_max: Duration,
    /// [`limits::DRAIN_MAX`].
    pub drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_deadline_max: limits::CALL_DEADLINE_MAX,
            calls_in_flight_max: limits::CALLS_IN_FLIGHT_MAX,
            streams_in_flight_max: limits::STREAMS_IN_FLIGHT_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            streams_per_connection_max: limits::STREAMS_PER_CONNECTION_MAX,
            local_resets_max: limits::LOCAL_RESETS_MAX,
            header_list_bytes_max: limits::HEADER_LIST_BYTES_MAX,
            answer_taken_max: limits::ANSWER_TAKEN_MAX,
            handshake_max: limits::HANDSHAKE_MAX,
            keepalive_interval: limits::KEEPALIVE_INTERVAL,
            keepalive_timeout: limits::KEEPALIVE_TIMEOUT,
            connection_age_max: limits::CONNECTION_AGE_MAX,
            connection_age_grace: limits::CONNECTION_AGE_GRACE,
            stream_drain_max: limits::STREAM_DRAIN_MAX,
            drain_max: limits::DRAIN_MAX,
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error(
        "{flag} {addr}: the port is in use; stop the program that has it or choose another address"
    )]
    InUse {
        /// The flag that named the address.
        flag: String,
        /// The address.
        addr: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("{flag} {addr}: cannot listen: {source}")]
    Bind {
        /// The flag that named the address.
        flag: String,
        /// The address.
        addr: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A bound listener cannot be used.
    #[error("the listener cannot be used: {0}")]
    Listener(#[source] io::Error),
    /// A descriptor set built into the program does not describe gRPC services.
    #[error("the gRPC descriptors cannot be read: {0}")]
    Descriptors(#[source] tonic_reflection::server::Error),
}

/// Listens on `addr`, which the user gave with `flag`.
///
/// # Errors
/// A line that names the flag, when the port is in use or cannot be had.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that the ban points to"
)]
pub fn bind(flag: &str, addr: SocketAddr) -> Result<TcpListener, Error> {
    let flag = flag.to_owned();
    match TcpListener::bind(addr) {
        Ok(listener) => Ok(listener),
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
            Err(Error::InUse { flag, addr })
        }
        Err(source) => Err(Error::Bind { flag, addr, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told_with_its_flag() {
        let first = bind("--listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = first.local_addr().unwrap();
        let error = bind("--listen-http", addr).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "--listen-http {addr}: the port is in use; stop the program that has it or \
                 choose another address"
            )
        );
    }
}
