//! Operators: people who see that messages are parked, ask for this and that while things go wrong,
//! and clear everything up once nothing does.

mod desk;
mod end;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use messaging::limits::{BACKOFF, LOG_CALL_TIMEOUT};
use messaging::shard::ShardId;
use messaging::store::{
    Action, ActionKind, AggregateKey, Error, ErrorKind, ParkReason, ParkedRow, Place, Target,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::{Side, Violation};
use crate::databases::Databases;
use crate::plan::LEASE_TIME;
use crate::ports::uuid;
use crate::world::World;
use desk::{Desk, LOOK_AGAIN};
use plan::{Act, What};

pub(crate) use plan::{Shift, draw};

/// Who they are.
const NAMES: [&str; 2] = ["ada", "bob"];
/// How often an operator asks for the same thing before giving up on an answer.
const TRIES: usize = 12;
/// How long an action may stay open once nothing goes wrong any more.
const DONE_MAX: Duration = Duration::from_secs(
    2 * LEASE_TIME.as_secs() + BACKOFF.max.as_secs() + 2 * LOG_CALL_TIMEOUT.as_secs(),
);

/// The operators of a run, at both services' desks.
pub(crate) struct Operators {
    world: Arc<World>,
    order: Arc<Desk>,
    inventory: Arc<Desk>,
}

/// What an action is about.
type Aim = (ShardId, Target);

impl Operators {
    /// Sends for the operators of a shift.
    pub(crate) async fn hire<D: Databases>(
        world: &Arc<World>,
        shift: &Shift,
        databases: &D,
    ) -> Result<Arc<Self>, Error> {
        let mut dice = shift.dice.clone();
        let order = databases.desk(Side::Order).await?;
        let inventory = databases.desk(Side::Inventory).await?;
        Ok(Arc::new(Self {
            world: Arc::clone(world),
            order: Desk::new(world, Side::Order, order, dice.fork()),
            inventory: Desk::new(world, Side::Inventory, inventory, dice.fork()),
        }))
    }

    /// Begins with what the shift names; the tasks end by themselves.
    pub(crate) fn begin(self: &Arc<Self>, shift: &Shift) -> JoinSet<()> {
        let mut acts = JoinSet::new();
        let started = Instant::now();
        for (at, act) in shift.acts.iter().copied() {
            let operators = Arc::clone(self);
            acts.spawn(async move {
                tokio::time::sleep_until(started + at).await;
                operators.act(act).await;
            });
        }
        acts
    }

    fn desk(&self, side: Side) -> &Arc<Desk> {
        match side {
            Side::Order => &self.order,
            Side::Inventory => &self.inventory,
        }
    }

    async fn act(&self, act: Act) {
        let desk = self.desk(act.side);
        self.world.trace.note("operator", format_args!("{act:?}"));
        let Ok(rows) = desk.parked(None).await else {
            return;
        };
        match act.what {
            What::List => {
                // Who cannot reach the database sees nothing.
                let _ = look_closer(desk, &rows).await;
            }
            What::Astray(kind) => {
                let aim = astray(desk);
                self.ask_all(desk, kind, &aim, act.twice).await;
            }
            What::Ask(kind) => {
                if let Some(aim) = aim(desk, kind, &rows) {
                    self.ask_all(desk, kind, &aim, act.twice).await;
                }
            }
        }
    }

    /// One operator asks, or both at the same time.
    async fn ask_all(&self, desk: &Arc<Desk>, kind: ActionKind, aim: &Aim, twice: bool) {
        let first = self.ask(desk, NAMES[0], kind, aim);
        if twice {
            let second = self.ask(desk, NAMES[1], kind, aim);
            futures::future::join(first, second).await;
        } else {
            first.await;
        }
    }

    /// Asks until there is an answer or patience is lost; the id under which it was asked for last,
    /// if it was.
    async fn ask(
        &self,
        desk: &Arc<Desk>,
        operator: &str,
        kind: ActionKind,
        (shard, target): &Aim,
    ) -> Option<String> {
        let mut action = Action {
            id: desk.dice(uuid).to_string(),
            shard: *shard,
            kind,
            target: target.clone(),
            operator: operator.to_owned(),
            reason: format!("seen by {operator}"),
            at: self.world.now(),
        };
        for _ in 0..TRIES {
            match desk.submit(&action).await {
                Ok(asked) => return asked.then_some(action.id),
                // It was asked for before, and the answer was lost.
                Err(error) if error.kind == ErrorKind::Rejected => return Some(action.id),
                Err(_) => desk.pause().await,
            }
            // Some ask for the same again, some start afresh.
            if desk.dice(|dice| dice.chance(400)) {
                action.id = desk.dice(uuid).to_string();
            }
        }
        None
    }

    /// Discards what cannot be read and replays the rest, once, when nothing goes wrong any more;
    /// how many messages there were.
    pub(crate) async fn clear(&self) -> Result<usize, Violation> {
        let mut found = 0;
        for desk in [&self.order, &self.inventory] {
            let rows = desk.parked(None).await.map_err(unreachable)?;
            found += rows.len();
            let mut asked = Vec::new();
            for row in rows.iter().filter(|row| is_garbage(row)) {
                let aim = (row.shard, Target::Place(row.place()));
                asked.extend(self.ask(desk, NAMES[0], ActionKind::Discard, &aim).await);
            }
            let held_up: BTreeSet<_> = rows
                .iter()
                .filter_map(|row| Some((row.parked.aggregate.clone()?, row.shard)))
                .collect();
            for (aggregate, shard) in held_up {
                let aim = (shard, Target::Aggregate(aggregate));
                asked.extend(self.ask(desk, NAMES[1], ActionKind::Replay, &aim).await);
            }
            done(desk, &asked).await?;
        }
        Ok(found)
    }
}

async fn look_closer(desk: &Desk, rows: &[ParkedRow]) -> Result<(), Error> {
    let held_up = rows.iter().filter_map(|row| row.parked.aggregate.as_ref());
    let held_up: Vec<_> = held_up.collect();
    if held_up.is_empty() {
        return Ok(());
    }
    let aggregate = desk.dice(|dice| dice.of(&held_up));
    desk.look_closer(aggregate).await?;
    desk.parked(Some(&aggregate.id)).await.map(drop)
}

/// One of what is parked, as an operator aims at it: garbage is discarded, everything else only
/// replayed.
fn aim(desk: &Desk, kind: ActionKind, rows: &[ParkedRow]) -> Option<Aim> {
    let fit = rows
        .iter()
        .filter(|row| kind != ActionKind::Discard || is_garbage(row));
    let fit: Vec<_> = fit.collect();
    if fit.is_empty() {
        return None;
    }
    let row = desk.dice(|dice| dice.of(&fit));
    let whole = row.parked.aggregate.clone().map(Target::Aggregate);
    let target = whole.filter(|_| kind != ActionKind::Discard);
    Some((row.shard, target.unwrap_or(Target::Place(row.place()))))
}

/// Something that is not parked anywhere.
fn astray(desk: &Desk) -> Aim {
    let place = Place {
        topic: contracts::topics::ORDER_COMMANDS.to_owned(),
        offset: 1_000_000,
    };
    let nobody = AggregateKey {
        kind: contracts::order::AGGREGATE.to_owned(),
        id: "NOBODY".to_owned(),
    };
    let targets = [Target::Place(place), Target::Aggregate(nobody)];
    let target = targets[desk.dice(|dice| dice.below(targets.len()))].clone();
    (ShardId(0), target)
}

fn is_garbage(row: &ParkedRow) -> bool {
    matches!(
        row.parked.reason,
        ParkReason::Undecodable | ParkReason::Misrouted
    )
}

/// Waits until the actions are done, for as long as that may take.
async fn done(desk: &Desk, asked: &[String]) -> Result<(), Violation> {
    let until = Instant::now() + DONE_MAX;
    for id in asked {
        loop {
            let record = desk.action(id).await.map_err(unreachable)?;
            if record.is_some_and(|record| record.done_at.is_some()) {
                break;
            }
            if Instant::now() > until {
                return Err(Violation {
                    invariant: "availability",
                    detail: format!("action {id} is open {DONE_MAX:?} after the faults"),
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// Nothing goes wrong any more, so this must not happen.
fn unreachable(error: Error) -> Violation {
    Violation {
        invariant: "availability",
        detail: format!("operators cannot reach the database: {error}"),
    }
}
