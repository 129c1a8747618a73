//! Disasters: what a store cannot make good by itself, and must notice.
//!
//! Two families of runs. Each has the plan and the weather of its seed, and beside them a disaster
//! from dice of its own.
//!
//! | room | what happens there |
//! |---|---|
//! | `lost_tail` | the log loses records that it has acknowledged |
//! | `restored` | a service's database is replaced by an older copy |

mod lost_tail;
mod restored;

use std::sync::Arc;
use std::time::Duration;

use crate::check::Violation;
use crate::counts::Counts;
use crate::dice::Dice;
use crate::memory::InMemory;
use crate::plan::Plan;
use crate::run::{self, Report};
use crate::seeds::{self, Family};
use crate::world::World;

/// Seeds of each family that every change is run with.
pub(crate) const SEEDS: u64 = 100;

const LOST_TAIL: Family = Family {
    run: lost_tail,
    shown_by: "one_lost_tail",
};

const RESTORED: Family = Family {
    run: restored,
    shown_by: "one_restored",
};

/// What a family's runs are made of.
struct Scene {
    world: Arc<World>,
    plan: Plan,
    databases: Arc<InMemory>,
    /// Of the disaster alone.
    dice: Dice,
}

/// A seed in whose run the log loses records that it has acknowledged.
pub(crate) fn lost_tail(seed: u64, record: bool) -> Report {
    strike(seed, record, lost_tail::story)
}

/// A seed in whose run a database is replaced by an older copy.
pub(crate) fn restored(seed: u64, record: bool) -> Report {
    strike(seed, record, restored::story)
}

fn strike(
    seed: u64,
    record: bool,
    story: impl AsyncFnOnce(&mut Scene) -> Result<(), Violation>,
) -> Report {
    run::runtime().block_on(async {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice).without_operators();
        let world = World::new(dice.fork(), plan.partitions, record, Vec::new());
        let databases = Arc::new(InMemory::new(&world));
        let mut scene = Scene {
            world: Arc::clone(&world),
            plan: plan.clone(),
            databases,
            dice: dice.aside("disaster"),
        };
        run::unless_violated(&world, &plan, story(&mut scene)).await;
        run::report(seed, &world)
    })
}

/// A moment before `end`: often within a crowd of customers.
fn moment(dice: &mut Dice, end: Duration) -> Duration {
    let end = u64::try_from(end.as_millis()).unwrap();
    let at = dice.within(1..=end);
    if dice.chance(500) {
        Duration::from_millis(at / 5_000 * 5_000 + dice.within(0..=500))
    } else {
        Duration::from_millis(at)
    }
}

/// Runs a family's seeds; fails unless all hold and have met what they are about.
fn run_family(family: &Family, about: &[&str]) {
    let count = seeds::number("SIM_DISASTERS", SEEDS);
    let from = seeds::number("SIM_FROM", 0);
    let reports = family.run_all(&(from..from + count).collect::<Vec<_>>());
    println!("{}", seeds::told(&reports));
    seeds::judge(family, &reports);
    let mut all = Counts::default();
    for report in &reports {
        all.absorb(&report.counts);
    }
    for name in about {
        let met = all.faults.get(*name).copied().unwrap_or_default();
        assert!(met > 0, "no run has met: {name}");
    }
}

#[test]
fn lost_tails_are_noticed() {
    run_family(&LOST_TAIL, &lost_tail::ABOUT);
}

#[test]
fn older_copies_are_noticed() {
    run_family(&RESTORED, &restored::ABOUT);
}

#[test]
fn one_lost_tail() {
    LOST_TAIL.run_one();
}

#[test]
fn one_restored() {
    RESTORED.run_one();
}
