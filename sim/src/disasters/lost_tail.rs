//! The log loses the tails of partitions, though it has acknowledged them.
//!
//! What is required: every invariant of a commit and of an append, as ever. And that the loss is
//! noticed. A shard whose cursor stands behind a record that is gone, or that has become another,
//! is worked on by nobody, and a program of its service says why: a shard at work stops, with the
//! reason in its health; a new owner refuses it, with the reason in the health of its process, or
//! by not starting at all. (A process tells one reason at a time: where it refuses several shards,
//! the next is told when the first is repaired.) The same holds for the shard whose publisher was
//! given an acknowledgement for an offset that the log no longer reaches.
//!
//! Not required, because a new owner cannot know it: that an acknowledged event is gone whose
//! offset the log has given out again. The database keeps the offset and not which event it was.
//! A shard at work notices that too. How often nobody does is counted.
//!
//! Shards that knew nothing of what was lost go on to the end, where a program works on them. A
//! program that meets a loss on its first shards does not start, so in a service where all start
//! again the loss of one shard keeps the others waiting: that is how the runtime is meant to be,
//! and it is counted here. Nobody stops for a loss that its service knew nothing of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use contracts::topics;
use messaging::log::{Log, Record};
use messaging::runtime::Error;
use tokio::time::Instant;

use super::{Scene, moment};
use crate::check::{Hole, Home, Known, Side, Violation};
use crate::databases::Databases;
use crate::dice::Dice;
use crate::edge::Outcome;
use crate::fleet::Fleet;
use crate::run::{self, Expectation};
use crate::world::{FOREIGN, World};
use crate::{end, events, proof};

/// What the runs must have met.
pub(super) const ABOUT: [&str; 5] = [
    READ,
    UNREAD,
    "tail lost that was said",
    "tail lost and its offsets given out again",
    "loss noticed",
];

const READ: &str = "tail lost that was read";
const UNREAD: &str = "tail lost unread";

/// For how long all must be as it must be.
const LASTING: Duration = Duration::from_secs(12);

/// How long a program may take with the shards that it works on.
const DRAIN: Duration = Duration::from_secs(5);

/// One loss.
#[derive(Clone, Debug)]
struct Loss {
    at: Duration,
    /// One partition of a topic, or everything, as by a loss of power.
    home: Option<(&'static str, i32)>,
    /// Records lost, of each partition.
    count: usize,
    /// Records that somebody writes at once in their place.
    refill: usize,
    /// How long the log is away.
    down_for: Duration,
}

impl Loss {
    fn draw(dice: &mut Dice, faults_for: Duration, partitions: i32) -> Self {
        let partition = dice.below(usize::try_from(partitions).unwrap());
        let one = (dice.of(&topics::ALL), i32::try_from(partition).unwrap());
        let count = dice.below(6) + 1;
        Self {
            at: moment(dice, faults_for),
            home: (!dice.chance(250)).then_some(one),
            count,
            refill: dice.of(&[0, 0, count, count + 2]),
            down_for: dice.millis(0..=2_000),
        }
    }

    fn homes(&self, partitions: i32) -> Vec<(&'static str, i32)> {
        let of = |topic| (0..partitions).map(move |partition| (topic, partition));
        match self.home {
            Some(home) => vec![home],
            None => topics::ALL.into_iter().flat_map(of).collect(),
        }
    }
}

/// Who had something to lose where.
#[derive(Debug, Default)]
struct Losses(Mutex<BTreeSet<(Side, Home)>>);

pub(super) async fn story(scene: &mut Scene) -> Result<(), Violation> {
    let losses: Vec<Loss> = {
        let (dice, faults_for) = (&mut scene.dice, scene.plan.faults_for);
        let mut drawn: Vec<_> = (0..=dice.below(3))
            .map(|_| Loss::draw(dice, faults_for, scene.plan.partitions))
            .collect();
        drawn.sort_by_key(|loss| loss.at);
        drawn
    };
    let Scene {
        world,
        plan,
        databases,
        ..
    } = scene;
    let fleet = Fleet::start(world, plan, databases);
    let clients = run::clients(world, &fleet, plan);
    let known = Losses::default();
    tokio::join!(
        biased;
        events::happen(world, &fleet, plan),
        happen(world, &losses, &known)
    );
    events::heal(world, &fleet).await;
    // What was accepted may be lost: then nothing is left of it, which is no more than unknown.
    let mut sent = run::answered(clients).await;
    for sent in &mut sent {
        sent.outcome = Outcome::Unknown;
    }
    for again in 0..=plan.recoveries {
        if again > 0 {
            run::crash_all(&fleet).await;
        }
        let mut damaged = Damaged::new(&known);
        let rows = run::settle(world, &fleet, databases, &mut damaged).await?;
        damaged.count(world, &fleet);
        if damaged.is_whole() {
            world.checker.settled(world.now());
            world.look();
            proof::check(world, &sent, &rows).await?;
        }
    }
    Ok(())
}

async fn happen(world: &World, losses: &[Loss], known: &Losses) {
    let started = Instant::now();
    for loss in losses {
        tokio::time::sleep_until(started + loss.at).await;
        world.trace.note("world", format_args!("{loss:?}"));
        world.set_log_down(true);
        for (topic, partition) in loss.homes(world.partitions) {
            if events::exists(world, topic).await {
                lose(world, loss, (topic, partition), known).await;
            }
        }
        world.lose_power();
        tokio::time::sleep(loss.down_for).await;
        world.set_log_down(false);
    }
}

async fn lose(world: &World, loss: &Loss, (topic, partition): (&str, i32), known: &Losses) {
    let lost = world.lose_tail(topic, partition, loss.count);
    let Some(first) = lost.first().map(|first| first.offset) else {
        return;
    };
    let home = (topic.to_owned(), partition);
    let mut fault = UNREAD;
    for side in [Side::Order, Side::Inventory] {
        let read = world.read_to(side, topic, partition);
        if read.is_some_and(|last| last >= first) {
            known.0.lock().unwrap().insert((side, home.clone()));
            fault = if reads(side, topic) { READ } else { fault };
        }
        if writes(side, topic) {
            world.count(|counts| counts.fault("tail lost that was said"));
            known.0.lock().unwrap().insert((side, home.clone()));
        }
    }
    world.count(|counts| counts.fault(fault));
    if loss.refill > 0 {
        world.count(|counts| counts.fault("tail lost and its offsets given out again"));
        // No two records are alike: a reader could not tell one from the other.
        let value = format!("in the place of what was lost at {:?}", loss.at);
        let record = Record {
            key: None,
            value: Some(Bytes::from(value)),
            headers: Vec::new(),
            timestamp: world.now(),
        };
        let records = vec![record; loss.refill];
        let _ = world.append(FOREIGN, topic, partition, records).await;
    }
}

fn reads(side: Side, topic: &str) -> bool {
    match side {
        Side::Order => [topics::ORDER_COMMANDS, topics::INVENTORY_EVENTS].contains(&topic),
        Side::Inventory => [topics::ORDER_EVENTS, topics::INVENTORY_COMMANDS].contains(&topic),
    }
}

fn writes(side: Side, topic: &str) -> bool {
    match side {
        Side::Order => topic == topics::ORDER_EVENTS,
        Side::Inventory => [topics::INVENTORY_EVENTS, topics::INVENTORY_STOCK].contains(&topic),
    }
}

/// What is expected of a store whose log has lost something.
struct Damaged<'l> {
    known: &'l Losses,
    /// What was told: by whose programs, of which partitions.
    told: BTreeSet<(Side, Home)>,
    /// Services of which a program did not start.
    not_started: BTreeSet<Side>,
    /// Since when shards were worked on without a break.
    worked_on: BTreeMap<(Side, i32), Instant>,
    /// Since when all is as it must be.
    right: Option<Instant>,
    /// Shards that wait for their service to start.
    waiting: usize,
}

impl<'l> Damaged<'l> {
    fn new(known: &'l Losses) -> Self {
        Self {
            known,
            told: BTreeSet::new(),
            not_started: BTreeSet::new(),
            worked_on: BTreeMap::new(),
            right: None,
            waiting: 0,
        }
    }

    /// Whether nobody knew anything of what was lost.
    fn is_whole(&self) -> bool {
        self.known.0.lock().unwrap().is_empty()
    }

    fn count(&self, world: &World, fleet: &Fleet) {
        let holes = world.checker.holes();
        let unnoticed = |hole: &&Hole| fleet.told.works_on(hole.side, hole.home.1);
        let unnoticed = holes.iter().filter(unnoticed).count();
        world.count(|counts| {
            for _ in 0..unnoticed {
                counts.fault("acknowledged event replaced, unnoticed");
            }
            if !self.told.is_empty() {
                counts.fault("loss noticed");
            }
            for _ in 0..self.waiting {
                counts.fault("shard without a loss waits for its service");
            }
        });
    }

    /// What a program's reason is about, if it is a loss that its service knew something of.
    fn loss(&self, side: Option<Side>, reason: &str) -> Option<(Side, Home)> {
        let known = self.known.0.lock().unwrap();
        let mut known = known.iter();
        let found = known.find(|(of, (topic, partition))| {
            // What has taken the place of a lost event makes its repetition look like news.
            let about = [
                format!("acknowledged: {topic}/{partition} "),
                format!("published events: {topic}/{partition} "),
            ];
            Some(*of) == side && about.iter().any(|about| reason.contains(about))
        });
        found.cloned()
    }
}

impl Expectation for Damaged<'_> {
    fn look(&mut self, world: &World, fleet: &Fleet) -> Result<(), Violation> {
        for (process, error) in fleet.told.refusals() {
            if run::expected(&error) {
                continue;
            }
            let behind = matches!(
                error,
                Error::LogBehind { .. } | Error::DatabaseBehind { .. }
            );
            match self.loss(process.side(), &error.to_string()) {
                Some((side, home)) if behind => {
                    self.not_started.insert(side);
                    self.told.insert((side, home));
                }
                _ => return Err(false_alarm(format!("{}: {error}", process.name))),
            }
        }
        for stopped in fleet.told.stopped() {
            match self.loss(stopped.process.side(), &stopped.reason) {
                Some(loss) => self.told.insert(loss),
                None => return Err(false_alarm(stopped.to_string())),
            };
        }
        for side in [Side::Order, Side::Inventory] {
            for shard in 0..world.partitions {
                if fleet.told.works_on(side, shard) {
                    let since = self.worked_on.entry((side, shard));
                    since.or_insert_with(Instant::now);
                } else {
                    self.worked_on.remove(&(side, shard));
                }
            }
        }
        Ok(())
    }

    async fn left<D: Databases>(
        &mut self,
        world: &World,
        fleet: &Fleet,
        databases: &D,
    ) -> Vec<Violation> {
        let holes = must_be_noticed(world).await;
        let mut left = Vec::new();
        for hole in &holes {
            let place = (hole.side, hole.home.1);
            if self.worked_on.contains_key(&place) {
                left.push(unnoticed(format!("{hole:?} is worked on")));
            }
            if !self.told.iter().any(|(side, _)| *side == hole.side) {
                left.push(unnoticed(format!("{hole:?} is told by nobody")));
            }
        }
        let stopped: BTreeSet<(Side, i32)> = fleet.told.stopped_shards().into_iter().collect();
        let broken = |side, shard| {
            let holed = |hole: &Hole| (hole.side, hole.home.1) == (side, shard);
            let is_told = |(of, home): &(Side, Home)| (*of, home.1) == (side, shard);
            stopped.contains(&(side, shard))
                || holes.iter().any(holed)
                || self.told.iter().any(is_told)
        };
        let waits = |side, shard| match self.worked_on.get(&(side, shard)) {
            Some(since) => since.elapsed() < DRAIN,
            None => self.not_started.contains(&side),
        };
        let whole = |side, shard| !broken(side, shard) && !waits(side, shard);
        left.extend(end::left(world, databases, whole).await);
        self.waiting = 0;
        for side in [Side::Order, Side::Inventory] {
            let shards = 0..world.partitions;
            let waiting = shards.filter(|shard| !broken(side, *shard) && waits(side, *shard));
            self.waiting += waiting.count();
        }
        if !left.is_empty() {
            self.right = None;
            return left;
        }
        let since = *self.right.get_or_insert_with(Instant::now);
        if since.elapsed() < LASTING {
            left.push(unnoticed(format!("all is right only since {since:?}")));
        }
        left
    }
}

/// Where the log lacks what a program can know that it must hold.
async fn must_be_noticed(world: &World) -> Vec<Hole> {
    let mut holes = Vec::new();
    for hole in world.checker.holes() {
        let (topic, partition) = &hole.home;
        let end = world.log.bounds(topic, *partition).await;
        let given_out = end.is_ok_and(|end| end.next > hole.offset);
        if hole.known == Known::Read || !given_out {
            holes.push(hole);
        }
    }
    holes
}

fn unnoticed(detail: String) -> Violation {
    Violation {
        invariant: "noticed",
        detail,
    }
}

fn false_alarm(detail: String) -> Violation {
    Violation {
        invariant: "availability",
        detail: format!("{detail}, and nothing that it knew of was lost"),
    }
}
