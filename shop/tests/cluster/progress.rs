//! How long each shard makes no progress although there is work for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use messaging::log::Log;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::real::PARTITIONS;
use crate::real::backstage::{Backstage, SERVICES};
use crate::real::database::Database;
use crate::real::process::Role;
use crate::real::settle::reads;
use crate::real::topics::Topics;

/// How often the cursors are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the log's ends are: work that has come since counts from the next look on.
const LOOK_AT_LOG: Duration = Duration::from_millis(250);

type Shard = (Role, i32);
/// The longest wait of each service, with the shard.
pub(crate) type Longest = BTreeMap<Role, (Duration, i32)>;

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Progress {
    /// The next offset of each partition, as far as it is known.
    ends: Mutex<BTreeMap<(&'static str, i32), i64>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What is being done to the store.
    event: String,
    cursors: BTreeMap<(Shard, String), i64>,
    /// Since when a shard has had work and has made no progress.
    waiting: BTreeMap<Shard, Instant>,
    /// The longest wait of each service that was under way during each event.
    longest: Vec<(String, Longest)>,
}

impl Progress {
    /// From now on `event` is under way.
    pub(crate) fn event(&self, event: &str) {
        let mut seen = lock(&self.seen);
        seen.event = event.to_owned();
        seen.longest.push((event.to_owned(), BTreeMap::new()));
    }

    /// Looks until `stop`.
    pub(crate) async fn watch(&self, backstage: &Backstage, stop: &CancellationToken) {
        let topics = Topics::of(backstage);
        let places = contracts::topics::ALL
            .into_iter()
            .flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic, partition)));
        let topics = &topics;
        let looks = places.map(|(topic, partition)| async move {
            loop {
                // A partition that does not answer brings no work.
                if let Ok(bounds) = topics.log.bounds(topic, partition).await {
                    lock(&self.ends).insert((topic, partition), bounds.next);
                }
                sleep(LOOK_AT_LOG).await;
            }
        });
        let log = futures::future::join_all(looks);
        let services = SERVICES.map(|role| async move {
            let mut database = None;
            loop {
                match cursors(backstage, role, &mut database).await {
                    Ok(cursors) => self.note(role, cursors),
                    // A database that does not answer makes no progress.
                    Err(_) => database = None,
                }
                sleep(LOOK).await;
            }
        });
        let [order, inventory] = services;
        stop.run_until_cancelled(async { tokio::join!(log, order, inventory) })
            .await;
    }

    fn note(&self, role: Role, cursors: Vec<(i32, String, i64)>) {
        let now = Instant::now();
        let ends = lock(&self.ends).clone();
        let mut seen = lock(&self.seen);
        let mut moved = Vec::new();
        for (shard, topic, next) in cursors {
            let before = seen.cursors.insert(((role, shard), topic), next);
            if before != Some(next) {
                moved.push(shard);
            }
        }
        for partition in 0..PARTITIONS {
            let shard = (role, partition);
            let has_work = ends.iter().any(|(&(topic, of), &end)| {
                let cursor = seen.cursors.get(&(shard, topic.to_owned()));
                of == partition && reads(role, topic) && cursor.copied().unwrap_or(0) < end
            });
            // A wait that ends now, or by now at least, has lasted until now.
            if let Some(since) = seen.waiting.get(&shard) {
                let waited = now - *since;
                seen.waited(shard, waited);
            }
            if !has_work {
                seen.waiting.remove(&shard);
            } else if moved.contains(&partition) {
                seen.waiting.insert(shard, now);
            } else {
                seen.waiting.entry(shard).or_insert(now);
            }
        }
    }

    /// The longest wait of each service during each event, with the shard.
    pub(crate) fn longest(&self) -> Vec<(String, Longest)> {
        lock(&self.seen).longest.clone()
    }
}

impl Seen {
    fn waited(&mut self, (role, shard): Shard, waited: Duration) {
        let Some((_, longest)) = self.longest.last_mut() else {
            return;
        };
        let longest = longest.entry(role).or_insert((waited, shard));
        if waited > longest.0 {
            *longest = (waited, shard);
        }
    }
}

async fn cursors(
    backstage: &Backstage,
    role: Role,
    database: &mut Option<Database>,
) -> Result<Vec<(i32, String, i64)>, sqlx::Error> {
    if database.is_none() {
        *database = Some(backstage.database(role).await?);
    }
    match database {
        Some(database) => database.cursors().await,
        None => Err(sqlx::Error::PoolClosed),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
