//! A service's database as operators reach it: with what a connection does to a client, and each
//! answer held against what must be the case.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use messaging::store::{
    Action, ActionKind, ActionRecord, AggregateKey, Error, ErrorKind, Operations, ParkedFilter,
    ParkedRow, Target,
};

use super::TRIES;
use crate::check::{SetAside, Side, Violation};
use crate::dice::Dice;
use crate::world::World;

/// Rows that are listed at once: more than there ever are.
const ALL: usize = 100_000;

/// One service's desk.
pub(super) struct Desk {
    world: Arc<World>,
    pub(super) side: Side,
    inner: Arc<dyn Operations>,
    dice: Mutex<Dice>,
}

/// What is wrong with a request for an action.
#[derive(Clone, Copy)]
enum Fault {
    Refused,
    Lost,
    AnswerLost,
    Late,
}

impl Desk {
    pub(super) fn new(
        world: &Arc<World>,
        side: Side,
        inner: Arc<dyn Operations>,
        dice: Dice,
    ) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            side,
            inner,
            dice: Mutex::new(dice),
        })
    }

    /// Asks once for `action`.
    pub(super) async fn submit(self: &Arc<Self>, action: &Action) -> Result<bool, Error> {
        const OPERATION: &str = "operations.submit";
        self.statement(OPERATION).await?;
        match self.fault() {
            None => self.land(action).await,
            Some(Fault::Refused) => self.fails(ErrorKind::Retry, OPERATION, "it is refused"),
            Some(Fault::Lost) => self.fails(ErrorKind::Unknown, OPERATION, "lost on the way"),
            Some(Fault::AnswerLost) => {
                // Whatever the answer was.
                let _ = self.land(action).await;
                self.fails(ErrorKind::Unknown, OPERATION, "the answer is lost")
            }
            Some(Fault::Late) => {
                self.lands_later(action);
                self.fails(ErrorKind::Unknown, OPERATION, "it lands later")
            }
        }
    }

    /// What is parked, in the order of parking; of one id only, if it is given.
    pub(super) async fn parked(&self, id: Option<&str>) -> Result<Vec<ParkedRow>, Error> {
        self.reach("operations.parked").await?;
        let filter = ParkedFilter {
            aggregate_id: id.map(str::to_owned),
            ..ParkedFilter::default()
        };
        let rows = self.inner.parked(&filter, 0, ALL).await?;
        let is: Vec<_> = rows.iter().map(seen).collect();
        let must = self.must(|parked| id.is_none() || id == id_of(parked));
        if is != must {
            self.wrong(format!("{is:?} are listed, parked are {must:?}"));
        }
        Ok(rows)
    }

    /// How many messages of an aggregate are parked, and where.
    pub(super) async fn look_closer(&self, aggregate: &AggregateKey) -> Result<(), Error> {
        self.reach("operations.parked_count").await?;
        let count = self.inner.parked_count(aggregate).await?;
        let must = self.must(|parked| parked.aggregate.as_ref() == Some(aggregate));
        if usize::try_from(count) != Ok(must.len()) {
            self.wrong(format!("{count} of {aggregate:?}, parked are {must:?}"));
        }
        self.reach("operations.held_up").await?;
        let held_up = self.inner.held_up(&aggregate.id).await?;
        let must = self.must(|parked| id_of(parked) == Some(&aggregate.id));
        let of = |(shard, aggregate): &(_, AggregateKey)| {
            let mut must = must.iter();
            must.any(|one| one.shard == *shard && one.aggregate.as_ref() == Some(aggregate))
        };
        if !held_up.iter().all(of) || held_up.is_empty() != must.is_empty() {
            self.wrong(format!("{held_up:?} are held up, parked are {must:?}"));
        }
        Ok(())
    }

    /// One action as the trail has it.
    pub(super) async fn action(&self, id: &str) -> Result<Option<ActionRecord>, Error> {
        self.reach("operations.action").await?;
        self.inner.action(id, ALL).await
    }

    /// The whole trail in the order of asking, `limit` actions at a time.
    pub(super) async fn trail(&self, limit: usize) -> Result<Vec<ActionRecord>, Error> {
        let mut trail: Vec<ActionRecord> = Vec::new();
        loop {
            let before = trail.last().map_or(i64::MAX, |record| record.number);
            let page = self.inner.trail(before, limit, ALL).await?;
            if page.is_empty() {
                trail.reverse();
                return Ok(trail);
            }
            trail.extend(page);
        }
    }

    fn must(&self, wanted: impl Fn(&SetAside) -> bool) -> Vec<SetAside> {
        let mut parked = self.world.checker.parked(self.side);
        parked.retain(wanted);
        parked
    }

    /// The request arrives; what it is told is held against what is parked. Nothing happens
    /// between the two: the database answers without waiting.
    async fn land(&self, action: &Action) -> Result<bool, Error> {
        let answer = self.inner.submit(action).await;
        self.note(format_args!("{} -> {answer:?}", Words(action)));
        let parked = !self.must(|parked| parked.is_target_of(action)).is_empty();
        let trail = self.world.checker.trail(self.side);
        let known = trail.iter().any(|asked| asked.action.id == action.id);
        let right = match &answer {
            Ok(true) => parked && !known,
            Ok(false) => !parked,
            Err(error) if error.kind == ErrorKind::Rejected => known,
            Err(_) => true,
        };
        if !right {
            self.wrong(format!(
                "{action:?} is answered {answer:?}; parked: {parked}, known: {known}"
            ));
        }
        match &answer {
            Ok(true) => {
                self.world.count(|counts| counts.actions += 1);
                self.world.checker.asked(self.side, action);
                self.world.look();
            }
            Ok(false) => self.world.count(|counts| counts.asks_refused += 1),
            Err(_) => {}
        }
        answer
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a request in the network belongs to no process"
    )]
    fn lands_later(self: &Arc<Self>, action: &Action) {
        let after = self.dice(|dice| dice.millis(1..=4_000));
        self.world.lands(after);
        let (desk, action) = (Arc::clone(self), action.clone());
        drop(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // Nobody hears the answer.
            let _ = desk.land(&action).await;
        }));
    }

    /// One statement on its way to the database.
    async fn statement(&self, operation: &'static str) -> Result<(), Error> {
        let weather = self.world.weather();
        if self.dice(|dice| dice.chance(weather.jitter)) {
            tokio::time::sleep(self.dice(|dice| dice.millis(1..=20))).await;
        }
        if self.dice(|dice| dice.chance(weather.store_slow)) {
            tokio::time::sleep(self.dice(|dice| dice.millis(100..=4_000))).await;
        }
        if self.dice(|dice| dice.chance(weather.store_statement_fails)) {
            return self.fails(ErrorKind::Retry, operation, "the connection is lost");
        }
        Ok(())
    }

    /// As [`Self::statement`], again and again within reason.
    async fn reach(&self, operation: &'static str) -> Result<(), Error> {
        for _ in 1..TRIES {
            match self.statement(operation).await {
                Ok(()) => return Ok(()),
                Err(_) => self.pause().await,
            }
        }
        self.statement(operation).await
    }

    fn fault(&self) -> Option<Fault> {
        let weather = self.world.weather();
        let faults = [
            (Fault::Refused, weather.commit_refused),
            (Fault::Lost, weather.commit_lost),
            (Fault::AnswerLost, weather.commit_answer_lost),
            (Fault::Late, weather.commit_late),
        ];
        let mut drawn = faults
            .iter()
            .filter(|(_, rate)| self.dice(|dice| dice.chance(*rate)));
        drawn.next().map(|(fault, _)| *fault)
    }

    fn fails<T>(&self, kind: ErrorKind, operation: &'static str, why: &str) -> Result<T, Error> {
        self.note(format_args!("{operation}: {why}"));
        let name = format!("{operation}: {why}");
        self.world.count(|counts| counts.fault(&name));
        Err(Error::new(kind, operation, why.to_owned()))
    }

    fn wrong(&self, detail: String) {
        self.world.violated(Violation {
            invariant: "S6",
            detail: format!("{:?}: {detail}", self.side),
        });
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        let who = format!("desk of {:?}", self.side);
        self.world.trace.note(&who, what);
    }

    pub(super) fn dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.dice.lock().unwrap())
    }

    /// Waits a little, as somebody does who asks again.
    pub(super) async fn pause(&self) {
        let wait = self.dice(|dice| dice.millis(50..=800));
        tokio::time::sleep(wait).await;
    }
}

/// The wait of somebody who looks again and again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

fn seen(row: &ParkedRow) -> SetAside {
    SetAside {
        shard: row.shard,
        place: row.place(),
        aggregate: row.parked.aggregate.clone(),
        replays: row.replays,
    }
}

fn id_of(parked: &SetAside) -> Option<&str> {
    Some(&parked.aggregate.as_ref()?.id)
}

/// An action in few words.
struct Words<'a>(&'a Action);

impl std::fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Action {
            id,
            shard,
            kind,
            target,
            operator,
            ..
        } = self.0;
        let kind = match kind {
            ActionKind::Replay => "replay of",
            ActionKind::DryRun => "dry run of",
            ActionKind::Discard => "discard of",
        };
        write!(f, "{operator} asks for a {kind} ")?;
        match target {
            Target::Aggregate(aggregate) => write!(f, "{} {}", aggregate.kind, aggregate.id)?,
            Target::Place(place) => write!(f, "{}/{shard} {}", place.topic, place.offset)?,
        }
        write!(f, " as {}", id.get(..8).unwrap_or(id))
    }
}
