//! The registry goes while orders are placed, and comes back.

use std::fmt;
use std::time::Duration;

use contracts::order::PlaceOrder;
use messaging::codec::SchemaId;
use messaging::limits::{BACKOFF, REGISTRY_CALL_TIMEOUT};
use messaging::message::Message;
use messaging::partitioner::partition_of;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::rate::{Placed, Rate, order};
use crate::real::check::{self, Broken};
use crate::real::client::{Answer, Client, What};
use crate::real::dice::Dice;
use crate::real::load::{History, Sent};
use crate::real::process::{Process, Role};
use crate::real::topics::Topics;
use crate::real::{PARTITIONS, in_runtime, proof, settle, tell, unreadable};
use crate::release;
use crate::world::{Health, USERS, World};

/// What the ids of commands are drawn from.
const SEED: u64 = 20_261_128;
/// The order that another release places; this one has never seen its schema.
const UNSEEN: &str = "ORDER_OF_ANOTHER_RELEASE";
/// How long orders are placed before the outage, and after it.
const AROUND: Duration = Duration::from_secs(3);
/// How long an order may take until it is RESERVED where nothing waits for the registry.
const RESERVED_MAX: Duration = Duration::from_secs(5);
/// How long health may take to tell of an outage: one call on a registry that does not answer.
const NOTICED_MAX: Duration = REGISTRY_CALL_TIMEOUT.saturating_add(Duration::from_secs(1));
/// How long what waits may take to go on: the longest wait between two asks, and one order's way.
const RESUMED_MAX: Duration = BACKOFF.max.saturating_add(RESERVED_MAX);
/// How often the services' health is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How the registry goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is asked to stop.
    Stopped,
    /// It is killed without warning.
    Killed,
    /// It stands still: it is there, and answers nothing.
    Paused,
}

impl End {
    async fn of(self, registry: &mut Process) {
        let was_there = match self {
            Self::Stopped => registry.stop().await,
            Self::Killed => registry.kill(),
            Self::Paused => registry.freeze(),
        };
        assert!(was_there, "there was a registry");
    }

    /// Brings it back, at its address and with its data.
    async fn undo(self, registry: &mut Process) -> Result<(), String> {
        match self {
            Self::Stopped | Self::Killed => registry.start(None),
            Self::Paused => registry.wake(),
        }
        registry.ready().await
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Paused => "paused",
        })
    }
}

/// What happened when.
struct Times {
    /// The registry went.
    gone: Instant,
    /// The record came whose schema nobody has seen.
    unseen: Instant,
    /// Order said that it waits, after so long.
    noticed: Duration,
    /// The registry was back.
    back: Instant,
    /// The order that waited was RESERVED, so long after.
    resumed: Duration,
    /// Order was ready again, so long after.
    ready: Duration,
}

/// Runs a store whose registry is away for `seconds` (or `OUTAGE_SECONDS`), and panics with
/// everything that does not hold.
pub(crate) fn run(end: End, seconds: u64) {
    let named = std::env::var("OUTAGE_SECONDS");
    let seconds = named.map_or(seconds, |text| text.parse().expect("a number"));
    let world = World::new();
    let broken = in_runtime(async {
        let mut broken = match phases(&world, end, Duration::from_secs(seconds)).await {
            Ok(broken) => broken,
            Err(why) => vec![why],
        };
        broken.append(&mut world.complaints().await);
        if !broken.is_empty() {
            let lines = world.process(Role::Order).lock().await.last_lines();
            eprintln!("--- last lines of order ---\n{lines}");
        }
        broken
    });
    assert!(broken.is_empty(), "{end}:\n{}", broken.join("\n"));
}

/// # Errors
/// With why the run could not go on.
async fn phases(world: &World, end: End, lasts: Duration) -> Result<Broken, String> {
    world.start().await?;
    let topics = Topics::of(&world.backstage());
    let id = release::register(&topics).await;
    let rate = Rate::new(world.url(Role::Gateway), home());
    let mut dice = Dice::new(SEED);
    rate.stock_up(&mut dice).await;
    let request_id = dice.uuid().to_string();

    let (start, stop) = (Instant::now(), CancellationToken::new());
    let happening = async {
        let _stop = stop.clone().drop_guard();
        sleep(AROUND).await;
        let times = outage(world, &topics, (end, lasts), (id, &request_id)).await;
        sleep(AROUND).await;
        times
    };
    let (times, ()) = tokio::join!(happening, rate.run(&mut dice, &stop));
    let (times, lasted) = (times?, start.elapsed());

    let mut history = rate.history();
    history.sent.push(Sent {
        request_id,
        what: What::Place(order(UNSEEN), None),
        answer: Answer::Ok,
        tries: 1,
    });
    let mut broken = judge(world, &history, lasted).await?;
    broken.append(&mut figures(end, &rate, start, &times));
    Ok(broken)
}

/// The shard of the order that another release places.
fn home() -> i32 {
    partition_of(UNSEEN.as_bytes(), PARTITIONS)
}

/// # Errors
/// With what a service says of its health that is not so, and what did not happen in time.
async fn outage(
    world: &World,
    topics: &Topics,
    (end, lasts): (End, Duration),
    (id, request_id): (SchemaId, &str),
) -> Result<Times, String> {
    let mut registry = world.process(Role::Registry).lock().await;
    end.of(&mut registry).await;
    let gone = Instant::now();
    while gone.elapsed() < lasts / 2 {
        for role in USERS {
            expect_ready(world, role).await?;
        }
        sleep(POLL).await;
    }

    release::place(topics, id, request_id, &order(UNSEEN)).await;
    let unseen = Instant::now();
    let room = format!("shard {} {}", home(), PlaceOrder::TOPIC);
    let waits = |health: &Health| health.waits_in(&room);
    let noticed = world.says(Role::Order, NOTICED_MAX, waits).await?;
    while gone.elapsed() < lasts {
        world.says(Role::Order, Duration::ZERO, waits).await?;
        for role in [Role::Inventory, Role::Gateway] {
            expect_ready(world, role).await?;
        }
        sleep(POLL).await;
    }

    end.undo(&mut registry).await?;
    let back = Instant::now();
    let resumed = reserved(world).await?;
    let ready = |health: &Health| health.is_ready();
    world.says(Role::Order, RESUMED_MAX, ready).await?;
    Ok(Times {
        gone,
        unseen,
        noticed,
        back,
        resumed,
        ready: back.elapsed(),
    })
}

async fn expect_ready(world: &World, role: Role) -> Result<(), String> {
    let ready = |health: &Health| health.is_ready();
    world.says(role, Duration::ZERO, ready).await.map(drop)
}

/// Waits until the order of the other release is RESERVED, its second version.
async fn reserved(world: &World) -> Result<Duration, String> {
    let start = Instant::now();
    let mut client = Client::new(world.url(Role::Gateway));
    while client.version(UNSEEN, RESERVED_MAX).await? < Some(2) {
        if start.elapsed() > RESUMED_MAX {
            return Err(format!("{UNSEEN} is not RESERVED after {RESUMED_MAX:?}"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(start.elapsed())
}

/// Everything that can be checked of a settled store: nothing is lost, nothing parked, every order
/// RESERVED.
async fn judge(world: &World, history: &History, lasted: Duration) -> Result<Broken, String> {
    let mut broken = history.complaints.clone();
    let backstage = world.backstage();
    let settled = settle::settled(&backstage).await?;
    let snapshot = proof::snapshot(&backstage, &Topics::of(&backstage), history).await;
    let snapshot = snapshot.map_err(unreadable)?;
    let report = snapshot.judge();
    eprintln!("{}", tell::load(history, lasted, settled));
    eprintln!("{}", tell::audit(&snapshot, &report.counts));
    broken.extend(proof::offences(&report));
    broken.extend(check::promises(&snapshot, history));
    broken.extend(check::databases(&backstage).await.map_err(unreadable)?);
    let orders = snapshot.orders.iter();
    let unreserved = orders.filter(|order| order.status != order::domain::Status::Reserved);
    broken.extend(unreserved.map(|order| format!("not RESERVED: {order:?}")));
    let audit = world.shop(&["audit"]).await;
    if audit.status != 0 {
        broken.push(format!("shop audit: {audit:?}"));
    }
    Ok(broken)
}

/// Tells the figures; what is too slow, or never happened.
fn figures(end: End, rate: &Rate, start: Instant, times: &Times) -> Broken {
    let before = rate.between(start, times.gone);
    let during = rate.between(times.gone, times.back);
    let after = rate.between(times.back, Instant::now());
    let longest = longest(&during);
    eprintln!(
        "the registry was {end} for {:.1?}; orders accepted: {} before, {} during, {} after; longest \
         wait for RESERVED of an order placed meanwhile where nothing waits: {longest:.0?}; Order \
         said {:.0?} after the record that it waits; after the registry's return: the order that \
         waited RESERVED in {:.0?}, Order ready in {:.0?}",
        times.back - times.gone,
        before.len(),
        during.len(),
        after.len(),
        times.noticed,
        times.resumed,
        times.ready,
    );
    let mut broken = Broken::new();
    if longest > RESERVED_MAX {
        broken.push(format!("an order took {longest:?} although nothing waits"));
    }
    let late = rate.between(times.unseen, times.back);
    for (when, placed) in [
        ("before", &before),
        ("during", &during),
        ("beside what waits", &late),
        ("after", &after),
    ] {
        if !placed.iter().any(|placed| placed.until_reserved) {
            broken.push(format!("nothing is shown: no order was RESERVED {when}"));
        }
    }
    broken
}

fn longest(placed: &[Placed]) -> Duration {
    let reserved = placed.iter().filter(|placed| placed.until_reserved);
    reserved.map(|placed| placed.took).max().unwrap_or_default()
}
