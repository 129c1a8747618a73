//! Carrying bytes, under the link's condition.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::kafka::Rewrite;
use super::{Condition, Direction, Shared, Ways};

/// Bytes that are carried in one piece.
const PIECE_BYTES: usize = 16 * 1_024;

/// Carries both directions until both have ended.
///
/// # Errors
/// When one side has broken the connection.
pub(super) async fn carry(shared: &Shared, ways: &mut Ways) -> io::Result<()> {
    let rewrite = shared
        .kafka
        .then(|| Rewrite::new(shared.to, shared.port.address()));
    let up = one_way(shared, Direction::Up, &mut ways.up, None);
    let down = one_way(shared, Direction::Down, &mut ways.down, rewrite);
    tokio::try_join!(up, down)?;
    Ok(())
}

async fn one_way(
    shared: &Shared,
    direction: Direction,
    (from, to): &mut (OwnedReadHalf, OwnedWriteHalf),
    mut rewrite: Option<Rewrite>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut out = Vec::new();
    let mut lossy = false;
    loop {
        let read = from.read(&mut piece).await?;
        let condition = *shared.condition.borrow();
        lossy |= condition == Condition::OneWay(direction);
        if read == 0 {
            let mut condition = shared.condition.subscribe();
            let passes = |now: &Condition| *now != Condition::OneWay(direction);
            // The link lives as long as its connections.
            let _ = condition.wait_for(passes).await;
            return to.shutdown().await;
        }
        if lossy {
            let lost = &shared.counts.bytes_lost;
            lost.fetch_add(read as u64, Ordering::Relaxed);
            continue;
        }
        if let Condition::Slow {
            delay,
            bytes_per_second,
        } = condition
        {
            let seconds = read as f64 / f64::from(bytes_per_second);
            tokio::time::sleep(delay + Duration::from_secs_f64(seconds)).await;
        }
        shared
            .counts
            .bytes
            .fetch_add(read as u64, Ordering::Relaxed);
        match &mut rewrite {
            None => to.write_all(&piece[..read]).await?,
            Some(rewrite) => {
                out.clear();
                rewrite.pass(&piece[..read], &mut out);
                to.write_all(&out).await?;
            }
        }
    }
}
