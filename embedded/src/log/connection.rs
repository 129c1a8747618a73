//! The listener and its connections: frames in, frames out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::api::{self, Broker, Peer};
use super::limits::{
    CONNECTIONS_MAX, DRAIN_MAX, FIRST_REQUEST_MAX, FRAME_BYTES_MAX, FRAME_BYTES_SMALL, IDLE_MAX,
    REQUESTS_BYTES_MAX, SOCKET_BUFFER_BYTES, TCP_SEGMENT_BYTES, TRANSFER_MAX,
};
use super::{Config, Error};
use crate::clock;

/// How long to wait after the listener failed to accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`.
pub(super) async fn serve(
    broker: &Arc<Broker>,
    config: &Config,
    listener: std::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listener = prepare(listener).map_err(|source| Error::Listener { source })?;
    let mut tasks = JoinSet::new();
    tasks.spawn(retain(Arc::clone(broker), config.clone(), shutdown.clone()));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let room = Arc::new(Semaphore::new(REQUESTS_BYTES_MAX / FRAME_BYTES_SMALL));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = tasks.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        tracing::warn!(%peer, "too many connections: closed a new one");
                        continue;
                    };
                    let (broker, shutdown) = (Arc::clone(broker), shutdown.clone());
                    let room = Arc::clone(&room);
                    tasks.spawn(async move {
                        if let Err(error) = converse(&broker, &room, stream, &shutdown).await {
                            tracing::debug!(%peer, %error, "closed a connection");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended)
        }
    };
    if timeout(DRAIN_MAX, drained).await.is_err() {
        tasks.shutdown().await;
    }
    broker.settle().await;
    Ok(())
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a task of the log panicked");
    }
}

/// Clamps the TCP segment size, which accepted sockets inherit: a client whose stream buffer is
/// larger than its large request would otherwise wait for a delayed acknowledgement.
fn prepare(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    socket2::SockRef::from(&listener).set_tcp_mss(TCP_SEGMENT_BYTES)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Removes records that are past retention, from time to time.
async fn retain(broker: Arc<Broker>, config: Config, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(config.retention_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (broker, retention) = (Arc::clone(&broker), config.retention);
        let done = tokio::task::spawn_blocking(move || broker.retain(retention, clock::now_ms()));
        if done.await.is_err() {
            tracing::error!("the retention of the log panicked");
        }
    }
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
    #[error("a frame announces {0} bytes")]
    FrameLength(i32),
    #[error("the client is too slow")]
    Slow,
    #[error(transparent)]
    Request(#[from] api::BadRequest),
}

/// Answers the requests of one connection, in order, until the client is gone.
async fn converse(
    broker: &Arc<Broker>,
    room: &Semaphore,
    stream: TcpStream,
    shutdown: &CancellationToken,
) -> Result<(), Closed> {
    stream.set_nodelay(true)?;
    let reached = stream.local_addr()?;
    let peer = Peer {
        reached: SocketAddr::new(reached.ip().to_canonical(), reached.port()),
        shutdown,
    };
    exchange(broker, room, &peer, stream).await
}

/// Frames in, frames out, over whatever carries them.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    broker: &Arc<Broker>,
    room: &Semaphore,
    peer: &Peer<'_>,
    stream: S,
) -> Result<(), Closed> {
    let mut stream = BufReader::with_capacity(SOCKET_BUFFER_BYTES, stream);
    // Whoever has asked something may rest, and take longer.
    let (mut idle_max, mut transfer_max) = (FIRST_REQUEST_MAX, FIRST_REQUEST_MAX);
    loop {
        let request = async {
            let began = timeout(idle_max, stream.fill_buf()).await;
            if began.map_err(|_| Closed::Slow)??.is_empty() {
                return Ok(None);
            }
            let frame = timeout(transfer_max, read_frame(&mut stream, room)).await;
            frame.map_err(|_| Closed::Slow)?
        };
        let request = tokio::select! {
            () = peer.shutdown.cancelled() => return Ok(()),
            request = request => request?,
        };
        // The room of a request is given back once it is answered.
        let Some((frame, _room)) = request else {
            return Ok(());
        };
        (idle_max, transfer_max) = (IDLE_MAX, TRANSFER_MAX);
        metrics::counter!("embedded_log_received_bytes_total").increment(frame.len() as u64);
        if let Some(response) = api::answer(broker, peer, frame).await? {
            let written = timeout(TRANSFER_MAX, stream.write_all(&response)).await;
            written.map_err(|_| Closed::Slow)??;
            metrics::counter!("embedded_log_sent_bytes_total").increment(response.len() as u64);
        }
    }
}

/// The next frame without its length, and the room that it takes; None if the stream ends before it.
async fn read_frame<'r, S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    room: &'r Semaphore,
) -> Result<Option<(Bytes, Option<SemaphorePermit<'r>>)>, Closed> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let announced = i32::from_be_bytes(length);
    let length = usize::try_from(announced)
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX)
        .ok_or(Closed::FrameLength(announced))?;
    // Memory grows with what has arrived, not with what was announced, and so does what is taken of the
    // room: who announces much and sends little keeps nobody waiting.
    let mut frame = BytesMut::new();
    let mut allowed = FRAME_BYTES_SMALL;
    let mut taken: Option<SemaphorePermit<'r>> = None;
    while frame.len() < length {
        if frame.len() == allowed {
            // The semaphore is never closed.
            if let Ok(more) = room.acquire().await {
                match &mut taken {
                    Some(taken) => taken.merge(more),
                    None => taken = Some(more),
                }
            }
            allowed += FRAME_BYTES_SMALL;
        }
        let wanted = allowed.min(length) - frame.len();
        let mut limited = (&mut *stream).take(wanted as u64);
        if limited.read_buf(&mut frame).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some((frame.freeze(), taken)))
}
