//! One run, from an empty store to its report.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::{self, Broken};
use crate::client::Answer;
use crate::database::Database;
use crate::dice::Dice;
use crate::fault::Schedule;
use crate::load::{History, Load};
use crate::mix::{Coverage, Mix};
use crate::process::Role;
use crate::settle;
use crate::topics::Topics;
use crate::world::World;

/// The seed, unless `FAULT_SEED` names one.
const SEED: u64 = 20_261_122;
/// Seconds from which a run must have injected what its mix promises.
const COVERAGE_SECONDS: u64 = 60;

/// Runs `mix` for `seconds` (or `FAULT_SECONDS`) and panics with everything that does not hold.
pub(crate) fn run(mix: Mix, seconds: u64) {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("FAULT_SEED", SEED);
    let seconds = number("FAULT_SECONDS", seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    eprintln!(
        "{}: {seconds} s of faults, FAULT_SEED={seed} FAULT_SECONDS={seconds}",
        mix.name
    );
    let outcome = runtime.block_on(async { Run::new(mix, seed, seconds).go().await });
    eprintln!("{}", outcome.report);
    assert!(
        outcome.broken.is_empty(),
        "FAULT_SEED={seed}: {} broken:\n{}",
        outcome.broken.len(),
        outcome.broken.join("\n")
    );
}

struct Outcome {
    report: String,
    broken: Broken,
}

struct Run {
    mix: Mix,
    seconds: u64,
    dice: Dice,
    world: World,
    broken: Broken,
    report: Vec<String>,
}

impl Run {
    fn new(mix: Mix, seed: u64, seconds: u64) -> Self {
        let small_disk = mix.faults.contains(&crate::fault::Fault::FullDisk);
        let world = World::new(small_disk);
        let mut report = Vec::new();
        if let Some(why) = &world.no_disk {
            report.push(format!(
                "NOT RUN: full disk: no tmpfs can be mounted here: {why}"
            ));
        }
        Self {
            mix,
            seconds,
            dice: Dice::new(seed),
            world,
            broken: Broken::new(),
            report,
        }
    }

    async fn go(mut self) -> Outcome {
        if let Err(why) = self.phases().await {
            self.broken.push(why);
        }
        for role in Role::ALL {
            let mut process = self.world.process(role).lock().await;
            process.look();
            self.broken.append(&mut process.complaints);
            self.broken.extend(process.panics());
            if !self.broken.is_empty() {
                let lines = process.last_lines();
                self.report
                    .push(format!("--- last lines of {} ---\n{lines}", role.name()));
            }
        }
        Outcome {
            report: self.report.join("\n"),
            broken: self.broken,
        }
    }

    /// # Errors
    /// With why the run could not go on.
    async fn phases(&mut self) -> Result<(), String> {
        self.world.start().await?;
        let load = Load::new(self.world.gateway().await);
        load.stock_up(&mut self.dice).await;
        let schedule = Schedule::new(&self.mix, self.dice.fork());
        let start = Instant::now();
        let end = start + Duration::from_secs(self.seconds);
        let lanes = (0..self.mix.lanes).map(|_| schedule.lane(&self.world, end));
        let mut load_dice = self.dice.fork();
        let over = CancellationToken::new();
        let faults = async {
            futures::future::join_all(lanes).await;
            over.cancel();
        };
        tokio::join!(load.run(&mut load_dice, &over), faults);
        let lasted = start.elapsed();
        self.tell_faults(&schedule);

        self.world.heal().await;
        self.world.start().await?;
        let settled = settle::settled(&self.world).await?;
        let history = load.history();
        self.tell_load(&history, lasted, settled);
        self.broken.extend(history.complaints.iter().cloned());
        let topics = Topics::of(&self.world);
        self.broken.extend(check::promises(&topics, &history).await);
        let rows = check::rows(&self.world).await;
        self.broken.extend(rows.map_err(unreadable)?);
        self.recover_again(&topics).await
    }

    /// F7: a restart of a settled store changes nothing.
    async fn recover_again(&mut self, topics: &Topics) -> Result<(), String> {
        let before = self.everything(topics).await?;
        self.world.stop().await;
        self.world.start().await?;
        settle::settled(&self.world).await?;
        let after = self.everything(&Topics::of(&self.world)).await?;
        for (role, (before, after)) in before.iter().zip(&after).enumerate() {
            let changed = before.iter().filter(|line| !after.contains(line));
            let changed = changed.chain(after.iter().filter(|line| !before.contains(line)));
            self.broken
                .extend(changed.map(|line| format!("F7: changed by a restart ({role}): {line}")));
        }
        self.world.stop().await;
        Ok(())
    }

    /// What both databases and the log hold, line by line.
    async fn everything(&self, topics: &Topics) -> Result<Vec<Vec<String>>, String> {
        let mut all = Vec::new();
        for role in [Role::Order, Role::Inventory] {
            let file = self.world.database(role).await;
            let mut database = Database::open(&file).await.map_err(unreadable)?;
            all.push(database.dump().await.map_err(unreadable)?);
        }
        let ends = topics.ends().await;
        all.push(ends.iter().map(|end| format!("{end:?}")).collect());
        Ok(all)
    }

    fn tell_faults(&mut self, schedule: &Schedule) {
        let done = schedule.done();
        self.report.push(format!("{:>6}  {}", "times", "injected"));
        for (fault, times) in &done {
            let missed = match times.missed {
                0 => String::new(),
                missed => format!(" (in vain: {missed})"),
            };
            self.report
                .push(format!("{:>6}  {fault}{missed}", times.hit));
        }
        if self.seconds < COVERAGE_SECONDS {
            self.report.push(format!(
                "(what must be injected is checked from {COVERAGE_SECONDS} s on)"
            ));
            return;
        }
        for fault in &self.mix.faults {
            let hit = match self.mix.coverage {
                Coverage::EachFault => done
                    .get(&fault.to_string())
                    .is_some_and(|times| times.hit > 0),
                Coverage::EachKind => done
                    .values()
                    .any(|times| times.kind == fault.kind() && times.hit > 0),
            };
            let impossible =
                *fault == crate::fault::Fault::FullDisk && self.world.no_disk.is_some();
            if !hit && !impossible {
                self.broken
                    .push(format!("never injected, so nothing is shown: {fault}"));
            }
        }
    }

    fn tell_load(&mut self, history: &History, lasted: Duration, settled: Duration) {
        let count = |answer| {
            let sent = history.sent.iter();
            sent.filter(|sent| sent.answer == answer).count()
        };
        let tries: usize = history.sent.iter().map(|sent| sent.tries).sum();
        let commands = history.sent.len();
        let per_second = commands as f64 / lasted.as_secs_f64();
        self.report.push(format!(
            "{commands} commands in {lasted:.1?} ({per_second:.0}/s), {tries} calls, {} reads; OK \
             {}, of them conflicts seen {}; UNKNOWN {}; FAIL {}; settled after {settled:.1?}",
            history.reads,
            count(Answer::Ok) + count(Answer::Conflict),
            count(Answer::Conflict),
            count(Answer::Unknown),
            count(Answer::Fail),
        ));
    }
}

fn unreadable(error: sqlx::Error) -> String {
    format!("a database cannot be read: {error}")
}
