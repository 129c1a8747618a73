//! What happens to the world, at its time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use messaging::envelope::Envelope;
use messaging::log::{Log, Record};
use messaging::partitioner::partition_of;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::fleet::Fleet;
use crate::plan::{Event, Garbage, Plan};
use crate::ports::uuid;
use crate::weather::Weather;
use crate::world::{FOREIGN, World};

/// Lets everything happen that the plan names, until its faults are over.
pub(crate) async fn happen(world: &Arc<World>, fleet: &Fleet, plan: &Plan) {
    let started = Instant::now();
    let mut later = JoinSet::new();
    world.set_weather(plan.weather);
    for (at, event) in &plan.events {
        tokio::time::sleep_until(started + *at).await;
        world.trace.note("world", format_args!("{event:?}"));
        happens(world, fleet, event, &mut later).await;
    }
    tokio::time::sleep_until(started + plan.faults_for).await;
    later.shutdown().await;
    // What must time out has its time, before anything counts as settled.
    let last = started + plan.last_deadline;
    world.lands(last.saturating_duration_since(Instant::now()));
}

/// Ends all faults, and waits until those under way are over.
pub(crate) async fn heal(world: &Arc<World>, fleet: &Fleet) {
    world.trace.note("world", format_args!("HEALS"));
    world.set_weather(Weather::calm());
    world.set_log_down(false);
    // Somebody has set the clocks.
    let running = fleet.processes();
    running
        .iter()
        .for_each(|process| process.skew.store(0, Ordering::SeqCst));
    for slot in &fleet.slots {
        let processes = slot.processes();
        let (newest, twins) = processes
            .split_last()
            .map_or((None, &[][..]), |(n, t)| (Some(n), t));
        twins.iter().for_each(|twin| twin.crash("twin"));
        if let Some(newest) = newest {
            newest.destine(None);
        }
    }
    let paused = fleet.processes();
    let paused = paused.iter().filter_map(|process| process.paused_until());
    let over = paused
        .max()
        .unwrap_or(Instant::now())
        .max(world.late_until());
    tokio::time::sleep_until(over).await;
}

async fn happens(world: &Arc<World>, fleet: &Fleet, event: &Event, later: &mut JoinSet<()>) {
    match event {
        Event::Fate { slot, fate } => {
            if let Some(process) = fleet.slots[*slot].process() {
                process.destine(Some(*fate));
            }
        }
        Event::Restart { slot } => {
            world.count(|counts| counts.shutdowns += 1);
            fleet.slots[*slot].shut_down();
        }
        Event::Twin { slot, for_ } => {
            let Some(first) = fleet.slots[*slot].process() else {
                return;
            };
            world.count(|counts| counts.twins += 1);
            fleet.slots[*slot].launch();
            let for_ = *for_;
            later.spawn(async move {
                tokio::time::sleep(for_).await;
                first.crash("twin");
            });
        }
        Event::ClockJump { slot, by_ms } => {
            if let Some(process) = fleet.slots[*slot].process() {
                world.count(|counts| counts.clock_jumps += 1);
                process.skew.fetch_add(*by_ms, Ordering::SeqCst);
            }
        }
        Event::LeaseClockJump { by_ms } => {
            world.count(|counts| counts.clock_jumps += 1);
            world.lease_skew.fetch_add(*by_ms, Ordering::SeqCst);
        }
        Event::LogDown { for_ } => down(world, *for_, later),
        Event::Gap {
            topic,
            partition,
            count,
        } => {
            if exists(world, topic).await {
                world.count(|counts| counts.fault("gap"));
                world.log.leave_gap(topic, *partition, *count);
            }
        }
        Event::Garbage { topic, garbage } => {
            if exists(world, topic).await {
                world.count(|counts| counts.fault("garbage"));
                let id = world.dice(uuid);
                let key = format!("FOREIGN_{}", &id.to_string()[..8]);
                write(world, topic, *garbage, id, key).await;
            }
        }
        Event::Poison {
            topic,
            key,
            garbage,
            id,
        } => {
            if exists(world, topic).await {
                world.count(|counts| counts.poisons += 1);
                write(world, topic, *garbage, *id, key.clone()).await;
            }
        }
    }
}

fn down(world: &Arc<World>, for_: Duration, later: &mut JoinSet<()>) {
    world.count(|counts| counts.fault("log down"));
    world.set_log_down(true);
    world.lose_power();
    let world = Arc::clone(world);
    later.spawn(async move {
        tokio::time::sleep(for_).await;
        world.set_log_down(false);
    });
}

pub(crate) async fn exists(world: &World, topic: &str) -> bool {
    matches!(world.log.partitions(topic).await, Ok(Some(_)))
}

/// Writes a record that no program of the store would write.
async fn write(world: &World, topic: &str, garbage: Garbage, id: Uuid, key: String) {
    let home = partition_of(key.as_bytes(), world.partitions);
    let known = match topic {
        contracts::topics::ORDER_COMMANDS => "shop.order.PlaceOrder",
        contracts::topics::ORDER_EVENTS => "shop.order.OrderPlaced",
        contracts::topics::INVENTORY_COMMANDS => "shop.inventory.ReceiveStock",
        contracts::topics::INVENTORY_EVENTS => "shop.inventory.StockReserved",
        _ => "shop.inventory.StockReceived",
    };
    let envelope = Envelope::command(id.to_string(), known, "/foreign", &key, world.now());
    let framed = |schema: u32| {
        let mut framed = vec![0];
        framed.extend(schema.to_be_bytes());
        framed.extend(b"what is this");
        Bytes::from(framed)
    };
    let mut record = Record {
        key: Some(Bytes::from(key.into_bytes())),
        value: Some(framed(1)),
        headers: envelope.to_headers(),
        timestamp: world.now(),
    };
    let mut partition = home;
    match garbage {
        Garbage::NoKey => record.key = None,
        Garbage::NoFrame => record.value = Some(Bytes::from_static(b"\x07nothing")),
        Garbage::UnknownSchema => record.value = Some(framed(99_999)),
        Garbage::WrongPartition => partition = (home + 1) % world.partitions,
        Garbage::NoEnvelope => record.headers.clear(),
        Garbage::NoDatum => record.value = Some(framed(schema_of(world, known))),
    }
    // The log is never down for whoever writes garbage.
    let _ = world.append(FOREIGN, topic, partition, vec![record]).await;
}

/// The schema id of a message type; 1 if none is registered yet.
fn schema_of(world: &World, message_type: &str) -> u32 {
    let registered = world.registered.lock().unwrap();
    let found = registered
        .iter()
        .find(|(subject, _)| subject.ends_with(message_type));
    found.map_or(1, |(_, id)| id.0)
}
