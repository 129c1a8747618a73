//! One run, from an empty store to its verdict.

use std::io::Write;
use std::time::Duration;

use audit::report::{Counts, Report};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fault::Schedule;
use crate::mix::Mix;
use crate::real::check::{self, Broken};
use crate::real::dice::Dice;
use crate::real::load::{History, Load, THINK_MAX};
use crate::real::process::Role;
use crate::real::topics::Topics;
use crate::real::{in_runtime, proof, settle, unreadable};
use crate::world::World;
use crate::{real, tell};

/// The seed, unless `FAULT_SEED` names one.
const SEED: u64 = 20_261_122;
/// Seconds from which a run must have injected what its mix promises.
pub(crate) const COVERAGE_SECONDS: u64 = 60;

/// Runs `mix` for `seconds` (or `FAULT_SECONDS`) and panics with everything that does not hold.
pub(crate) fn run(mix: Mix, seconds: u64) {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("FAULT_SEED", SEED);
    let seconds = number("FAULT_SECONDS", seconds);
    let again = format!("FAULT_SEED={seed} FAULT_SECONDS={seconds}");
    eprintln!("{}: {seconds} s of faults; {again}", mix.name);
    let Outcome { report, broken } = in_runtime(async {
        let run = Run::new(mix, seed, seconds);
        run.go().await
    });
    eprintln!("{report}");
    let broken = (broken.len(), broken.join("\n"));
    assert!(broken.0 == 0, "{again}: {} broken:\n{}", broken.0, broken.1);
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
        let world = World::new(mix.fills_disk());
        if let Some(why) = &world.no_disk {
            // Past the test harness, which would show it only when the test fails.
            let line = format!("NOT RUN: full disk: no tmpfs can be mounted here: {why}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
        Self {
            mix,
            seconds,
            dice: Dice::new(seed),
            world,
            broken: Broken::new(),
            report: Vec::new(),
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
        }
        if !self.broken.is_empty() {
            for role in Role::ALL {
                let lines = self.world.process(role).lock().await.last_lines();
                let lines = format!("--- last lines of {} ---\n{lines}", role.name());
                self.report.push(lines);
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
        let (history, lasted) = self.faults().await;
        self.broken.extend(history.complaints.iter().cloned());
        self.world.heal().await;
        self.world.start().await?;
        let settled = settle::settled(&self.world.backstage().await).await?;
        self.report
            .push(real::tell::load(&history, lasted, settled));
        let counts = self.judge(&history).await?;
        if self.seconds >= COVERAGE_SECONDS {
            self.broken.extend(real::tell::unproven(&counts));
            self.broken
                .extend(real::tell::unproven_to_clients(&history));
        }
        self.recover_again().await
    }

    /// The faults, with the load meanwhile.
    async fn faults(&mut self) -> (History, Duration) {
        let load = Load::new(vec![self.world.gateway().await], THINK_MAX);
        load.stock_up(&mut self.dice).await;
        let schedule = Schedule::new(&self.mix, self.dice.fork());
        let mut load_dice = self.dice.fork();
        let start = Instant::now();
        let end = start + Duration::from_secs(self.seconds);
        let lanes = (0..self.mix.lanes).map(|_| schedule.lane(&self.world, end));
        let over = CancellationToken::new();
        let faults = async {
            futures::future::join_all(lanes).await;
            over.cancel();
        };
        tokio::join!(load.run(&mut load_dice, &over), faults);
        let done = schedule.done();
        self.report.push(tell::faults(&done));
        if self.seconds >= COVERAGE_SECONDS {
            let with_disk = self.world.disk().is_some();
            self.broken.extend(self.mix.missing(&done, with_disk));
        } else {
            let note = format!("(what must be injected is checked from {COVERAGE_SECONDS} s on)");
            self.report.push(note);
        }
        (load.history(), start.elapsed())
    }

    /// Everything that can be checked of a settled store.
    async fn judge(&mut self, history: &History) -> Result<Counts, String> {
        let backstage = self.world.backstage().await;
        let topics = Topics::of(&backstage);
        let snapshot = proof::snapshot(&backstage, &topics, history).await;
        let snapshot = snapshot.map_err(unreadable)?;
        let report: Report = snapshot.judge();
        self.report
            .push(real::tell::audit(&snapshot, &report.counts));
        self.broken.extend(proof::offences(&report));
        self.broken.extend(check::promises(&snapshot, history));
        let databases = check::databases(&backstage).await;
        self.broken.extend(databases.map_err(unreadable)?);
        Ok(report.counts)
    }

    /// F7: a restart of a settled store changes nothing.
    async fn recover_again(&mut self) -> Result<(), String> {
        let backstage = self.world.backstage().await;
        let before = backstage.everything().await?;
        self.world.stop().await;
        self.world.start().await?;
        settle::settled(&backstage).await?;
        let after = backstage.everything().await?;
        self.broken.extend(check::changed(&before, &after));
        self.world.stop().await;
        Ok(())
    }
}
