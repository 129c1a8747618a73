//! What all processes of a run share: the log, the registry, the clock, the weather, the account.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messaging::clock::{SystemClock, Timestamp};
use messaging::log::memory::MemoryLog;
use messaging::log::{Consumed, Error, Log, Record};
use messaging::registry::memory::MemoryRegistry;
use messaging::registry::{SchemaId, SchemaRegistry};
use messaging::shard::{Epoch, ShardId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::check::{Checker, Side, Tolerance, Violation};
use crate::counts::Counts;
use crate::dice::Dice;
use crate::process::Process;
use crate::trace::Trace;
use crate::weather::Weather;

/// Where every simulated clock starts: 2026-11-22T00:00:00Z.
pub(crate) const EPOCH_MS: i64 = 1_795_305_600_000;

/// Who writes what no program of the store would write.
pub(crate) const FOREIGN: &str = "foreign";

/// The surroundings of all processes.
pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) partitions: i32,
    pub(crate) trace: Trace,
    pub(crate) checker: Arc<Checker>,
    started: Instant,
    dice: Mutex<Dice>,
    weather: Mutex<Weather>,
    counts: Mutex<Counts>,
    violation: watch::Sender<Option<Violation>>,
    /// Odd while the log is down; rises with each change.
    log_session: AtomicU64,
    log_changed: Notify,
    /// One past the last record of each partition; gaps at the end do not count.
    ends: Mutex<BTreeMap<(String, i32), i64>>,
    /// Where foreign records stand: topic, partition, offset.
    foreign: Mutex<BTreeSet<(String, i32, i64)>>,
    /// The last offset that each service has ever read of each partition.
    read: Mutex<BTreeMap<(Side, String, i32), i64>>,
    /// When the last request that is under way in the network has landed.
    late_until: Mutex<Instant>,
    /// Keeps the lease's clock apart from everybody's, in milliseconds.
    pub(crate) lease_skew: Arc<AtomicI64>,
    /// Ids by subject: what is registered is not parsed again.
    pub(crate) registered: Mutex<BTreeMap<String, SchemaId>>,
    steps: AtomicU64,
    /// Steps at which the process that takes them dies (the sweep).
    crash_at: Vec<u64>,
}

impl World {
    pub(crate) fn new(dice: Dice, partitions: i32, record: bool, crash_at: Vec<u64>) -> Arc<Self> {
        let registry = Arc::new(MemoryRegistry::new());
        let known: Arc<dyn SchemaRegistry> = Arc::clone(&registry) as _;
        Arc::new(Self {
            checker: Checker::new(known, partitions, Tolerance::default()),
            log: Arc::new(MemoryLog::new(Arc::new(SystemClock))),
            registry,
            partitions,
            trace: Trace::new(record),
            started: Instant::now(),
            dice: Mutex::new(dice),
            weather: Mutex::default(),
            counts: Mutex::default(),
            violation: watch::Sender::new(None),
            log_session: AtomicU64::new(0),
            log_changed: Notify::new(),
            ends: Mutex::default(),
            foreign: Mutex::default(),
            read: Mutex::default(),
            late_until: Mutex::new(Instant::now()),
            lease_skew: Arc::default(),
            registered: Mutex::default(),
            steps: AtomicU64::new(0),
            crash_at,
        })
    }

    pub(crate) fn dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.dice.lock().unwrap())
    }

    pub(crate) fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.counts.lock().unwrap());
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    /// The wall clock of a machine without skew.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap();
        Timestamp(EPOCH_MS + elapsed)
    }

    /// Notes that an invariant did not hold; only the first one counts.
    pub(crate) fn violated(&self, violation: Violation) {
        self.violation.send_if_modified(|found| {
            let first = found.is_none();
            if first {
                self.trace
                    .note("check", format_args!("VIOLATION {violation}"));
                *found = Some(violation);
            }
            first
        });
    }

    /// Whether the checker has found anything.
    pub(crate) fn look(&self) {
        if let Some(violation) = self.checker.violation() {
            self.violated(violation);
        }
    }

    /// A turn or a claim was refused: the shard has a newer owner.
    pub(crate) fn refused(&self, side: Side, shard: ShardId, epoch: Epoch) {
        self.count(|counts| counts.fenced += 1);
        self.checker.refused(side, shard, epoch);
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    /// Completes when an invariant did not hold.
    pub(crate) async fn until_violated(&self) {
        let _ = self.violation.subscribe().wait_for(Option::is_some).await;
    }

    /// Counts a step of a process; some it does not survive.
    pub(crate) fn step(&self, process: &Process, name: &str) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        if self.crash_at.contains(&step) {
            process.crash(name);
        }
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// The log's session; `None` while the log is down.
    pub(crate) fn log_session(&self) -> Option<u64> {
        let session = self.log_session.load(Ordering::SeqCst);
        session.is_multiple_of(2).then_some(session)
    }

    /// Completes when the log's present session ends. Wakes in the order of waiting, which a watch
    /// channel does not.
    pub(crate) async fn log_session_ends(&self) {
        self.log_changed.notified().await;
    }

    /// Takes the log down or up again; every connection is lost.
    pub(crate) fn set_log_down(&self, down: bool) {
        if self.log_session().is_some() == down {
            self.log_session.fetch_add(1, Ordering::SeqCst);
            self.log_changed.notify_waiters();
        }
        self.trace.note("log", format_args!("down: {down}"));
    }

    /// The log's machine loses power: what was acknowledged stays, if the log keeps its word.
    pub(crate) fn lose_power(&self) {
        for (topic, partition, offset) in self.log.lose_power() {
            self.lost(&topic, partition, offset);
            self.ends.lock().unwrap().insert((topic, partition), offset);
        }
    }

    fn lost(&self, topic: &str, partition: i32, offset: i64) {
        self.trace.note(
            "log",
            format_args!("LOSES {topic}/{partition} from {offset} on"),
        );
        self.checker.lost(topic, partition, offset);
        let mut foreign = self.foreign.lock().unwrap();
        foreign.retain(|(of, at, lost)| (of.as_str(), *at) != (topic, partition) || *lost < offset);
    }

    /// The log loses the last `count` records of a partition, or all there are; returns them.
    pub(crate) fn lose_tail(&self, topic: &str, partition: i32, count: usize) -> Vec<Consumed> {
        let mut records = self.log.records(topic, partition);
        let lost = records.split_off(records.len().saturating_sub(count));
        if let Some(first) = lost.first() {
            self.log.truncate_tail(topic, partition, count);
            self.lost(topic, partition, first.offset);
            let end = records.last().map_or(0, |last| last.offset + 1);
            let home = (topic.to_owned(), partition);
            self.ends.lock().unwrap().insert(home, end);
        }
        lost
    }

    /// Notes that a service has read as far as `offset`.
    pub(crate) fn was_read(&self, side: Side, topic: &str, partition: i32, offset: i64) {
        let mut read = self.read.lock().unwrap();
        let last = read.entry((side, topic.to_owned(), partition));
        let last = last.or_insert(offset);
        *last = offset.max(*last);
    }

    /// The last offset that a service has ever read there.
    pub(crate) fn read_to(&self, side: Side, topic: &str, partition: i32) -> Option<i64> {
        let read = self.read.lock().unwrap();
        read.get(&(side, topic.to_owned(), partition)).copied()
    }

    /// Appends in one go: no other task runs in between.
    pub(crate) async fn append(
        &self,
        who: &str,
        topic: &str,
        partition: i32,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        let copies = records.clone();
        let last = self.log.append(topic, partition, records).await?;
        let first = last + 1 - i64::try_from(copies.len()).unwrap();
        let appended: Vec<Consumed> = (first..).zip(copies).map(consumed).collect();
        self.trace.note(
            who,
            format_args!(
                "appends {topic}/{partition} {first}..={last}{}",
                Ids(&appended)
            ),
        );
        self.count(|counts| counts.records += appended.len() as u64);
        let place = (topic.to_owned(), partition);
        self.ends.lock().unwrap().insert(place, last + 1);
        if who == FOREIGN {
            let places = (first..=last).map(|offset| (topic.to_owned(), partition, offset));
            self.foreign.lock().unwrap().extend(places);
            self.checker.injected(topic, partition, &appended);
        } else {
            self.checker.appended(topic, partition, &appended);
        }
        self.look();
        Ok(last)
    }

    /// Appends some time later, whatever becomes of the caller.
    #[expect(
        clippy::disallowed_methods,
        reason = "a request in the network belongs to no process"
    )]
    pub(crate) fn append_late(
        self: &Arc<Self>,
        who: &str,
        topic: &str,
        partition: i32,
        records: Vec<Record>,
        after: Duration,
    ) {
        self.lands(after);
        let world = Arc::clone(self);
        let (who, topic) = (format!("{who} (late)"), topic.to_owned());
        drop(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // A log that refuses it has lost it.
            let _ = world.append(&who, &topic, partition, records).await;
        }));
    }

    /// Whether what stands there is no program's of the store.
    pub(crate) fn is_foreign(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let place = (topic.to_owned(), partition, offset);
        self.foreign.lock().unwrap().contains(&place)
    }

    /// Where readers of a partition end up.
    pub(crate) fn end_of(&self, topic: &str, partition: i32) -> i64 {
        let ends = self.ends.lock().unwrap();
        let end = ends.get(&(topic.to_owned(), partition));
        end.copied().unwrap_or(0)
    }

    /// Where readers of all partitions end up.
    pub(crate) fn ends(&self) -> BTreeMap<(String, i32), i64> {
        self.ends.lock().unwrap().clone()
    }

    /// Something that was sent lands `after`.
    pub(crate) fn lands(&self, after: Duration) {
        let mut late_until = self.late_until.lock().unwrap();
        *late_until = (*late_until).max(Instant::now() + after);
    }

    /// When everything sent so far has landed.
    pub(crate) fn late_until(&self) -> Instant {
        // At its moment itself nobody knows who comes first.
        *self.late_until.lock().unwrap() + Duration::from_millis(1)
    }
}

/// As it stands in the log: headers sorted by name, the last of a repeated name kept.
fn consumed((offset, record): (i64, Record)) -> Consumed {
    let headers: BTreeMap<_, _> = record.headers.into_iter().collect();
    let headers = headers.into_iter().collect();
    Consumed {
        offset,
        record: Record { headers, ..record },
    }
}

/// What records are, in few words.
struct Ids<'a>(&'a [Consumed]);

impl std::fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for found in self.0 {
            let record = &found.record;
            let header = |name| {
                let mut headers = record.headers.iter();
                let value = headers.find(|(header, _)| header == name);
                String::from_utf8_lossy(value.map_or(b"?", |(_, value)| value)).into_owned()
            };
            let name = header("ce_type");
            let name = name.rsplit('.').next().unwrap_or_default().to_owned();
            let id = header("ce_id");
            let id = id.get(..8).unwrap_or_default().to_owned();
            write!(f, " {name}({} {id})", header("ce_subject"))?;
        }
        Ok(())
    }
}
