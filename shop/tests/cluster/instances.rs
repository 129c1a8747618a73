//! Instances come and go: killed, started, stopped in order, and standing still.

use std::time::Duration;

use messaging::crash::Point;
use messaging::limits::LEASE_TIME;
use tokio::time::{Instant, sleep};

use crate::real::backstage::SERVICES;
use crate::real::process::Role;
use crate::run::{STANDSTILL_MAX, Size, Stage, run};
use crate::world::Name;

/// Between two events, with everybody at work.
const QUIET: Duration = Duration::from_secs(8);
/// Shards that were given up because a turn was refused: somebody else had them.
const FENCED: &str = "shards_fenced_total";
/// Turns that were not committed, for whatever reason.
const FAILED: &str = "turn_failures_total";
/// Turns after which an instance stands still inside of one.
const VISIT: usize = 10;
/// How long it may take to come to that.
const VISIT_MAX: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs servers: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)"]
fn instances_come_and_go() {
    run(Size::SHORT, &two_of_each(), come_and_go);
}

#[test]
#[ignore = "needs servers, and minutes: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)"]
fn instances_come_and_go_during_20_000_orders() {
    run(Size::LONG, &two_of_each(), come_and_go);
}

/// A registry, two gateways, and two instances of each service.
pub(crate) fn two_of_each() -> Vec<Name> {
    let mut names = vec![(Role::Registry, 1)];
    for number in 1..=2 {
        names.extend([Role::Order, Role::Inventory, Role::Gateway].map(|role| (role, number)));
    }
    names
}

/// The instances of both services with this number.
fn both(number: usize) -> [Name; 2] {
    SERVICES.map(|role| (role, number))
}

/// # Errors
/// With what did not do as it was told.
async fn come_and_go(stage: &Stage) -> Result<(), String> {
    let world = &stage.world;
    stage.during("two of each", QUIET).await;

    stage.event("kill -9 of one");
    for name in both(1) {
        world.process(name).lock().await.kill();
    }
    sleep(STANDSTILL_MAX).await;

    stage.event("start of a third");
    world.start(&both(3)).await?;
    sleep(QUIET).await;

    stage.event("SIGTERM of one");
    world.stop(&both(2)).await;
    sleep(QUIET).await;

    stage.event("start of the one that was killed");
    world.start(&both(1)).await?;
    sleep(QUIET).await;

    stage.event("SIGSTOP of one for three lease times");
    let before = counted(stage, 1, FENCED).await;
    for name in both(1) {
        world.process(name).lock().await.freeze();
    }
    sleep(LEASE_TIME * 3).await;
    wake(stage, 1).await;
    let after = counted(stage, 1, FENCED).await;
    let refused = [after[0] - before[0], after[1] - before[1]];
    tell(stage, "shards whose stale turns were refused", refused);
    // One that hears of its loss from its lease first tries nothing.
    if refused.iter().sum::<f64>() < 1.0 {
        stage.complain("no stale commit was tried".to_owned());
    }

    stage.event("SIGSTOP of one inside a transaction");
    for name in both(2) {
        let place = format!("{}:{VISIT}", Point::BeforeCommit.name());
        let mut process = world.process(name).lock().await;
        process.start_to_stand_still(&place);
    }
    for name in both(2) {
        stands_still(stage, name).await?;
    }
    sleep(STANDSTILL_MAX).await;
    wake(stage, 2).await;
    let failed = counted(stage, 2, FAILED).await;
    tell(stage, "turns that came to nothing", failed);
    if failed.iter().any(|count| *count < 1.0) {
        stage.complain("what stood still inside a transaction was committed".to_owned());
    }
    tell(stage, "shards fenced", counted(stage, 2, FENCED).await);
    stage.expect_progress(STANDSTILL_MAX);
    Ok(())
}

/// # Errors
/// When it does not.
async fn stands_still(stage: &Stage, name: Name) -> Result<(), String> {
    let deadline = Instant::now() + VISIT_MAX;
    while !stage.world.process(name).lock().await.is_frozen() {
        if Instant::now() > deadline {
            return Err(format!(
                "{name:?} did not come to the place where it stands still"
            ));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What both instances with this number have counted.
async fn counted(stage: &Stage, number: usize, counter: &'static str) -> [f64; 2] {
    let mut counts = [0.0; 2];
    for (count, name) in counts.iter_mut().zip(both(number)) {
        *count = stage.world.counter(name, counter).await;
    }
    counts
}

fn tell(stage: &Stage, what: &str, [order, inventory]: [f64; 2]) {
    stage.tell(format!("{what}: order {order}, inventory {inventory}"));
}

/// Wakes both instances with this number, and lets them go on as if nothing had happened.
async fn wake(stage: &Stage, number: usize) {
    stage.event("waking up");
    for name in both(number) {
        stage.world.process(name).lock().await.wake();
    }
    sleep(QUIET).await;
}
