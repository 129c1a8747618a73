//! A service's database is replaced by an older copy of itself, as by a restore from a backup.
//!
//! All programs of the service are killed, what they had sent lands, the copy is put back, and they
//! start again. What is required depends on what the service has said meanwhile.
//!
//! If the log holds an event of it, in any partition, that was committed after the copy was taken,
//! then the whole database is behind: every program of the service refuses to start, names the
//! partition, and touches nothing, also not the shards that have said nothing since. (What those
//! would go on to say follows from what the database has forgotten of the others, and no copy would
//! be as new as the log any more.) Then the operator puts the newest copy back, and the run must end
//! as if nothing had happened.
//!
//! Otherwise nobody outside can tell the copy from the original: the service reads again what the
//! copy has not read, and the run must end like any other. An event that was in the outbox when the
//! copy was taken is no event of after.

use std::collections::BTreeSet;
use std::time::Duration;

use messaging::runtime::Error;
use messaging::store::Checkpoint;
use messaging::store::memory::Snapshot;
use tokio::time::Instant;

use super::{Scene, moment};
use crate::check::{Home, Saved, Side, Violation};
use crate::databases::Databases;
use crate::dice::Dice;
use crate::events;
use crate::fleet::Fleet;
use crate::memory::InMemory;
use crate::run::{self, SETTLE_MAX};
use crate::world::World;

/// What the runs must have met.
pub(super) const ABOUT: [&str; 4] = [ALL, SOME, HARMLESS, AMID];

const ALL: &str = "restored, behind in every partition";
const SOME: &str = "restored, behind in some partitions";
const HARMLESS: &str = "restored, nothing said since";
const AMID: &str = "newest copy put back amid the faults";

/// How often a waiting operator looks.
const LOOK: Duration = Duration::from_millis(250);

/// A copy of a database, with the model of what it holds.
struct Copy {
    database: Snapshot,
    model: Saved,
}

impl Copy {
    fn of(world: &World, databases: &InMemory, side: Side) -> Self {
        let database = match side {
            Side::Order => databases.order.snapshot(),
            Side::Inventory => databases.inventory.snapshot(),
        };
        let model = world.checker.save(side);
        Self { database, model }
    }
}

/// What is restored, and when.
#[derive(Clone, Copy, Debug)]
struct Restore {
    side: Side,
    copied_at: Duration,
    after: Duration,
    /// Whether the newest copy is put back as soon as the programs have refused.
    at_once: bool,
}

impl Restore {
    fn draw(dice: &mut Dice, faults_for: Duration) -> Self {
        let longest = dice.of(&[20, 200, 2_000, 20_000]);
        Self {
            side: dice.of(&[Side::Order, Side::Inventory]),
            copied_at: moment(dice, faults_for * 3 / 4),
            after: dice.millis(1..=longest),
            at_once: dice.chance(700),
        }
    }
}

pub(super) async fn story(scene: &mut Scene) -> Result<(), Violation> {
    let restore = Restore::draw(&mut scene.dice, scene.plan.faults_for);
    let Scene {
        world,
        plan,
        databases,
        ..
    } = scene;
    let fleet = Fleet::start(world, plan, databases);
    let clients = run::clients(world, &fleet, plan);
    let operator = Operator {
        world,
        fleet: &fleet,
        databases,
        side: restore.side,
    };
    let faults_end = Instant::now() + plan.faults_for;
    let ((), behind) = tokio::join!(
        biased;
        events::happen(world, &fleet, plan),
        operator.restore(restore, faults_end)
    );
    events::heal(world, &fleet).await;
    if let Some(mut behind) = behind? {
        if !operator
            .refuse(&mut behind, Instant::now() + SETTLE_MAX)
            .await?
        {
            let detail = format!("only {:?} of {:?} refuse", behind.refused, restore.side);
            return Err(violation("noticed", detail));
        }
        operator.put_right(behind).await?;
    }
    let sent = run::answered(clients).await;
    run::end_well(world, &fleet, plan, databases, &sent).await
}

/// A database that is older than what its service has said.
struct Behind {
    /// Where the log holds what it does not know.
    homes: BTreeSet<Home>,
    /// As it was put back.
    untouched: Checkpoint,
    /// Programs that have refused to start on it.
    refused: BTreeSet<String>,
    newest: Copy,
}

/// Whoever looks after one service's database.
struct Operator<'r> {
    world: &'r World,
    fleet: &'r Fleet,
    databases: &'r InMemory,
    side: Side,
}

impl Operator<'_> {
    /// Takes a copy and puts it back later; if the service has said something since, waits for its
    /// programs to refuse, and may put the newest copy back. Returns what is still behind then.
    async fn restore(
        &self,
        restore: Restore,
        faults_end: Instant,
    ) -> Result<Option<Behind>, Violation> {
        self.world.trace.note("world", format_args!("{restore:?}"));
        tokio::time::sleep(restore.copied_at).await;
        self.note("is copied");
        let copy = Copy::of(self.world, self.databases, self.side);
        tokio::time::sleep(restore.after).await;
        self.kill().await;
        let newest = Copy::of(self.world, self.databases, self.side);
        let homes = self.world.checker.said_since(self.side, &copy.model);
        self.count(&homes);
        self.put_back(copy);
        if homes.is_empty() {
            return Ok(None);
        }
        let mut behind = Behind {
            homes,
            untouched: self.checkpoint().await?,
            refused: BTreeSet::new(),
            newest,
        };
        if restore.at_once && self.refuse(&mut behind, faults_end).await? {
            let world = self.world;
            world.count(|counts| counts.fault(AMID));
            self.put_right(behind).await?;
            return Ok(None);
        }
        Ok(Some(behind))
    }

    /// Kills the service's programs, and waits until what they have sent has landed.
    async fn kill(&self) {
        for slot in self.fleet.of(self.side) {
            slot.hold("for a restore");
        }
        tokio::time::sleep_until(self.world.late_until()).await;
    }

    /// Puts a copy in the database's place and lets the programs start.
    fn put_back(&self, copy: Copy) {
        self.note("is replaced by a copy");
        match self.side {
            Side::Order => self.databases.order.restore(copy.database),
            Side::Inventory => self.databases.inventory.restore(copy.database),
        }
        self.world.checker.restore(self.side, &copy.model);
        for slot in self.fleet.of(self.side) {
            slot.let_go();
        }
    }

    /// Waits until every program of the service has refused to start; tells whether they have.
    async fn refuse(&self, behind: &mut Behind, until: Instant) -> Result<bool, Violation> {
        loop {
            self.look(behind).await?;
            let mut programs = self.fleet.of(self.side);
            if programs.all(|slot| behind.refused.contains(&slot.name)) {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Nobody touches the database, and who refuses to start does so for the right reason.
    async fn look(&self, behind: &mut Behind) -> Result<(), Violation> {
        for (process, error) in self.fleet.told.refusals() {
            if run::expected(&error) {
                continue;
            }
            match &error {
                Error::DatabaseBehind {
                    topic, partition, ..
                } if process.side() == Some(self.side)
                    && behind.homes.contains(&(topic.clone(), *partition)) =>
                {
                    let slot = process.name.split('#').next().unwrap_or_default();
                    behind.refused.insert(slot.to_owned());
                }
                _ => {
                    let detail = format!("{} refuses to run: {error}", process.name);
                    return Err(violation("availability", detail));
                }
            }
        }
        let found = self.checkpoint().await?;
        if found != behind.untouched {
            let (side, homes, before) = (self.side, &behind.homes, &behind.untouched);
            let detail =
                format!("{side:?} works though behind {homes:?}: {found:?} was {before:?}");
            return Err(violation("noticed", detail));
        }
        Ok(())
    }

    /// Puts the newest copy back: from now on nothing is wrong any more.
    async fn put_right(&self, mut behind: Behind) -> Result<(), Violation> {
        self.kill().await;
        self.look(&mut behind).await?;
        self.put_back(behind.newest);
        Ok(())
    }

    async fn checkpoint(&self) -> Result<Checkpoint, Violation> {
        let checkpoint = self.databases.checkpoint(self.side).await;
        checkpoint.map_err(|error| violation("availability", error.to_string()))
    }

    fn count(&self, homes: &BTreeSet<Home>) {
        let behind: BTreeSet<i32> = homes.iter().map(|(_, partition)| *partition).collect();
        let all = usize::try_from(self.world.partitions).unwrap();
        self.world.count(|counts| {
            counts.fault(match behind.len() {
                0 => HARMLESS,
                some if some < all => SOME,
                _ => ALL,
            });
        });
    }

    fn note(&self, what: &str) {
        let side = self.side;
        let line = format_args!("the database of {side:?} {what}");
        self.world.trace.note("world", line);
    }
}

fn violation(invariant: &'static str, detail: String) -> Violation {
    Violation { invariant, detail }
}
