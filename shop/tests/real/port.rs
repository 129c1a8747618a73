//! Ports that stay ours while nobody listens on them.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1.
///
/// A bound socket that never listens keeps it: connecting is refused, no other program is given
/// it, and a listener that sets SO_REUSEADDR (as Rust's do) can come and go on it.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    _guard: Socket,
}

impl Port {
    /// One that was free.
    pub(crate) fn reserve() -> Self {
        let guard = bound(0);
        let address = guard.local_addr().unwrap().as_socket().unwrap();
        Self {
            address,
            _guard: guard,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A listener on it.
    pub(crate) fn listen(&self) -> std::net::TcpListener {
        let socket = bound(self.address.port());
        socket.listen(1_024).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    }
}

fn bound(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.bind(&address.into()).unwrap();
    socket
}
