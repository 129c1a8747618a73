//! Attacks on the gRPC server's defences, over 127.0.0.1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "an attacker opens sockets of its own"
)]

mod attacks;
mod calls;
#[path = "../common/certificates.rs"]
mod certificates;
mod connections;
mod drain;
mod http;
mod service;
mod tls;
mod wire;
