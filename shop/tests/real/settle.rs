//! Waiting until a store that is left alone has nothing more to do.

use std::time::Duration;

use messaging::limits::{BACKOFF, LEASE_TIME};
use tokio::time::Instant;

use super::backstage::{Backstage, SERVICES};
use super::process::Role;
use super::topics::{Ends, Topics};
use super::unreadable;

/// How long what has piled up may take.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How often the store is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How long everything may take together.
pub(crate) fn limit() -> Duration {
    LEASE_TIME * 2 + BACKOFF.max + DRAIN_MAX
}

/// Waits until the outboxes are empty (F2), the cursors stand at the log's ends (F3) and no queue
/// is marked, twice in a row; returns how long that took.
///
/// # Errors
/// With what is still to do when the time is over.
pub(crate) async fn settled(backstage: &Backstage) -> Result<Duration, String> {
    let topics = Topics::of(backstage);
    let start = Instant::now();
    let mut before = None;
    loop {
        let ends = topics.ends().await.map_err(|error| error.to_string());
        let now = match &ends {
            Ok(ends) => left(backstage, ends).await,
            Err(error) => Ok(vec![format!("the log cannot be read: {error}")]),
        };
        let now = now.unwrap_or_else(|error| vec![unreadable(error)]);
        if now.is_empty() && before.as_ref() == Some(&ends) {
            return Ok(start.elapsed());
        }
        if start.elapsed() > limit() {
            return Err(format!(
                "not settled after {:?}: {}",
                limit(),
                now.join("; ")
            ));
        }
        before = now.is_empty().then_some(ends);
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a service reads a topic.
pub(crate) fn reads(role: Role, topic: &str) -> bool {
    match role {
        Role::Order => ["order.commands", "inventory.events"].contains(&topic),
        _ => ["order.events", "inventory.commands"].contains(&topic),
    }
}

/// What is still to do.
async fn left(backstage: &Backstage, ends: &Ends) -> Result<Vec<String>, sqlx::Error> {
    let mut left = Vec::new();
    for role in SERVICES {
        let mut database = backstage.database(role).await?;
        let rows = database.number("SELECT count(*) FROM outbox").await?;
        if rows > 0 {
            left.push(format!("{}: {rows} rows in the outbox", role.name()));
        }
        let cursors = database.cursors().await?;
        for &(topic, partition, end) in ends {
            let next = cursors
                .iter()
                .find(|(shard, read, _)| (*shard, read.as_str()) == (partition, topic))
                .map_or(0, |(_, _, next)| *next);
            if reads(role, topic) && next < end {
                let role = role.name();
                left.push(format!("{role}: {topic}/{partition} at {next} of {end}"));
            }
        }
        if role == Role::Inventory {
            let marks = database
                .number("SELECT count(*) FROM fulfilment_mark")
                .await?;
            if marks > 0 {
                left.push(format!("inventory: {marks} products to look at"));
            }
        }
    }
    Ok(left)
}
