//! A TCP proxy between two processes, which breaks what it is told to break.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::real::port::Port;

mod kafka;
mod pump;
#[cfg(test)]
mod tests;

/// As the embedded log does on its own listener (TRAPS: a client whose stream buffer is larger
/// than its large request would wait for a delayed acknowledgement).
const SEGMENT_BYTES: u32 = 4_096;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// From the one that connects.
    Up,
    /// To the one that connects.
    Down,
}

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Open.
    Clear,
    /// Every connection is reset, new ones are refused.
    Cut,
    /// The bytes of one direction vanish, and its ends of streams with them. A connection that has
    /// lost bytes never carries any again in that direction, also when the way is clear again: the
    /// streams of TCP have no holes, so such a connection is as good as dead and nobody says so.
    OneWay(Direction),
    /// Every piece is late, and only so many bytes pass per second.
    Slow {
        delay: Duration,
        bytes_per_second: u32,
    },
}

/// What has happened on a link.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) bytes_lost: AtomicU64,
}

/// A way between two processes, for as long as it is not dropped.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    port: Port,
    to: SocketAddr,
    /// Whether answers name the log's address, which must become this link's.
    kafka: bool,
    condition: watch::Sender<Condition>,
    /// Rises when all connections are to be reset.
    resets: watch::Sender<u64>,
    counts: Counts,
}

impl Link {
    /// A way to `to`, open from now on.
    pub(crate) fn open(to: SocketAddr, kafka: bool) -> Self {
        let shared = Arc::new(Shared {
            port: Port::reserve(),
            to,
            kafka,
            condition: watch::Sender::new(Condition::Clear),
            resets: watch::Sender::new(0),
            counts: Counts::default(),
        });
        // Whoever is told of the address can connect to it at once.
        let listener = shared.listen();
        let mut serving = JoinSet::new();
        serving.spawn(serve(Arc::clone(&shared), listener));
        Self {
            shared,
            _serving: serving,
        }
    }

    /// Where to connect instead of the real address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.port.address()
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.shared.condition.send_replace(condition);
    }

    /// Resets every connection, once.
    pub(crate) fn reset(&self) {
        self.shared
            .resets
            .send_modify(|generation| *generation += 1);
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Shared {
    fn listen(&self) -> TcpListener {
        let listener = self.port.listen();
        SockRef::from(&listener).set_tcp_mss(SEGMENT_BYTES).unwrap();
        TcpListener::from_std(listener).unwrap()
    }
}

async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let mut condition = shared.condition.subscribe();
    let mut listener = Some(listener);
    let mut conversations = JoinSet::new();
    loop {
        match &listener {
            None => {
                // The link lives as long as this task.
                let _ = condition.wait_for(|now| *now != Condition::Cut).await;
                listener = Some(shared.listen());
            }
            Some(listening) => tokio::select! {
                biased;
                _ = condition.wait_for(|now| *now == Condition::Cut) => listener = None,
                Some(_) = conversations.join_next() => {}
                Ok((client, _)) = listening.accept() => {
                    conversations.spawn(converse(Arc::clone(&shared), client));
                }
            },
        }
    }
}

/// Carries one connection until both sides have ended it, or until it is broken.
async fn converse(shared: Arc<Shared>, client: TcpStream) {
    shared.counts.connections.fetch_add(1, Ordering::Relaxed);
    let mut condition = shared.condition.subscribe();
    let mut resets = shared.resets.subscribe();
    let Ok(server) = TcpSocket::new_v4().unwrap().connect(shared.to).await else {
        reset(&client);
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut ways = Ways {
        up: (from_client, to_server),
        down: (from_server, to_client),
    };
    let broken = tokio::select! {
        biased;
        _ = condition.wait_for(|now| *now == Condition::Cut) => true,
        _ = resets.changed() => true,
        carried = pump::carry(&shared, &mut ways) => carried.is_err(),
    };
    if broken {
        shared.counts.resets.fetch_add(1, Ordering::Relaxed);
        for (from, to) in [ways.up, ways.down] {
            reset(from.as_ref());
            // Dropped, it would end its direction in order first.
            to.forget();
        }
    }
}

/// The two directions of one connection.
struct Ways {
    up: (OwnedReadHalf, OwnedWriteHalf),
    down: (OwnedReadHalf, OwnedWriteHalf),
}

/// Closing it sends RST.
fn reset(stream: &TcpStream) {
    // It may be gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
