//! One run: load, what is done meanwhile, and the verdict.

use std::sync::Mutex;
use std::time::Duration;

use messaging::limits::LEASE_TIME;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;
use crate::real::check::{self, Broken};
use crate::real::dice::Dice;
use crate::real::load::{History, Load, THINK_MAX};
use crate::real::topics::Topics;
use crate::real::{in_runtime, proof, settle, tell, unreadable};
use crate::world::{Name, World, label};

/// What the load is drawn from.
const SEED: u64 = 20_261_125;
/// How long a shard may make no progress although there is work for it, when an instance is gone.
pub(crate) const STANDSTILL_MAX: Duration = LEASE_TIME.saturating_add(Duration::from_secs(2));
/// How long the load may take after the last event until all orders are placed.
const PLACING_MAX: Duration = Duration::from_secs(600);

/// How much is asked of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Orders that are placed at least; more if the events take longer.
    pub(crate) orders: usize,
    /// How long each client thinks before its next command, at most.
    pub(crate) think_max: Duration,
}

impl Size {
    /// For every change: orders come all the time, and few.
    pub(crate) const SHORT: Self = Self {
        orders: 4_000,
        think_max: Duration::from_millis(250),
    };
    /// By hand: as many as the machine takes.
    pub(crate) const LONG: Self = Self {
        orders: 20_000,
        think_max: THINK_MAX,
    };
}

/// What those who do something to the store see of it.
pub(crate) struct Stage {
    pub(crate) world: World,
    progress: Progress,
    broken: Mutex<Broken>,
    report: Mutex<Vec<String>>,
}

impl Stage {
    /// Begins an event.
    pub(crate) fn event(&self, event: &str) {
        self.progress.event(event);
    }

    /// Begins an event, and lets it last.
    pub(crate) async fn during(&self, event: &str, time: Duration) {
        self.event(event);
        sleep(time).await;
    }

    /// Holds it against the store if a shard made no progress for longer than that, in any event
    /// so far.
    pub(crate) fn expect_progress(&self, standstill_max: Duration) {
        for (event, longest) in self.progress.longest() {
            for (role, (waited, shard)) in longest {
                if waited > standstill_max {
                    let role = role.name();
                    let what = format!("{role} made no progress in shard {shard} for {waited:.2?}");
                    self.complain(format!("{event}: {what}"));
                }
            }
        }
    }

    /// Says something in the report.
    pub(crate) fn tell(&self, line: String) {
        eprintln!("{line}");
        self.report.lock().unwrap().push(line);
    }

    /// Holds something against the store.
    pub(crate) fn complain(&self, line: String) {
        self.broken.lock().unwrap().push(line);
    }
}

/// Runs a store of `names` under load while `events` happen to it, and panics with everything that
/// does not hold.
pub(crate) fn run(
    size: Size,
    names: &[Name],
    events: impl AsyncFnOnce(&Stage) -> Result<(), String>,
) {
    let stage = Stage {
        world: World::new(),
        progress: Progress::default(),
        broken: Mutex::default(),
        report: Mutex::default(),
    };
    in_runtime(async {
        if let Err(why) = phases(&stage, size, names, events).await {
            stage.complain(why);
        }
        look_over(&stage).await;
    });
    let broken = stage.broken.into_inner().unwrap();
    assert!(
        broken.is_empty(),
        "{} broken:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

/// # Errors
/// With why the run could not go on.
async fn phases(
    stage: &Stage,
    size: Size,
    names: &[Name],
    events: impl AsyncFnOnce(&Stage) -> Result<(), String>,
) -> Result<(), String> {
    let world = &stage.world;
    world.start(names).await?;
    let (history, lasted) = under_load(stage, size, events).await?;
    for complaint in &history.complaints {
        stage.complain(complaint.clone());
    }
    world.start(&world.names()).await?;
    let backstage = world.backstage();
    let settled = settle::settled(&backstage).await?;
    stage.tell(tell::load(&history, lasted, settled));
    judge(stage, &history).await?;
    tell_standstill(stage);

    let before = backstage.everything().await?;
    let services = world.names();
    world.stop(&services).await;
    world.start(&services).await?;
    settle::settled(&backstage).await?;
    let after = backstage.everything().await?;
    for line in check::changed(&before, &after) {
        stage.complain(line);
    }
    world.stop(&services).await;
    Ok(())
}

async fn under_load(
    stage: &Stage,
    size: Size,
    events: impl AsyncFnOnce(&Stage) -> Result<(), String>,
) -> Result<(History, Duration), String> {
    let mut dice = Dice::new(SEED);
    let load = Load::new(stage.world.gateways(), size.think_max);
    load.stock_up(&mut dice).await;
    let (stop, start) = (CancellationToken::new(), Instant::now());
    let backstage = stage.world.backstage();
    let happening = async {
        let _stop = stop.clone().drop_guard();
        events(stage).await?;
        if load.orders() < size.orders {
            stage.event("the rest of the orders");
        }
        let deadline = Instant::now() + PLACING_MAX;
        while load.orders() < size.orders {
            if Instant::now() > deadline {
                return Err(format!("only {} orders were placed", load.orders()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    let watching = stage.progress.watch(&backstage, &stop);
    let (happened, (), ()) = tokio::join!(happening, watching, load.run(&mut dice, &stop));
    happened?;
    Ok((load.history(), start.elapsed()))
}

/// Everything that can be checked of a settled store.
async fn judge(stage: &Stage, history: &History) -> Result<(), String> {
    let backstage = stage.world.backstage();
    let topics = Topics::of(&backstage);
    let snapshot = proof::snapshot(&backstage, &topics, history).await;
    let snapshot = snapshot.map_err(unreadable)?;
    let report = snapshot.judge();
    stage.tell(tell::audit(&snapshot, &report.counts));
    let databases = check::databases(&backstage).await.map_err(unreadable)?;
    let broken = proof::offences(&report)
        .into_iter()
        .chain(check::promises(&snapshot, history))
        .chain(databases)
        .chain(tell::unproven(&report.counts));
    for line in broken {
        stage.complain(line);
    }
    Ok(())
}

/// How long shards made no progress, event by event.
fn tell_standstill(stage: &Stage) {
    stage.tell("longest time without progress although there was work, per event:".to_owned());
    for (event, longest) in stage.progress.longest() {
        let told: Vec<_> = longest
            .iter()
            .map(|(role, (waited, shard))| format!("{} {waited:.2?} (shard {shard})", role.name()))
            .collect();
        stage.tell(format!("  {event:<44} {}", told.join(", ")));
    }
}

/// What the processes have done that nobody asked for, and their last words if anything is broken.
async fn look_over(stage: &Stage) {
    for name in stage.world.names() {
        let mut process = stage.world.process(name).lock().await;
        process.look();
        let complaints = std::mem::take(&mut process.complaints);
        for line in complaints.into_iter().chain(process.panics()) {
            stage.complain(line);
        }
    }
    if let Ok(folder) = std::env::var("CLUSTER_LOGS") {
        keep_logs(stage, &folder);
    }
    if stage.broken.lock().unwrap().is_empty() {
        return;
    }
    for name in stage.world.names() {
        let lines = stage.world.process(name).lock().await.last_lines();
        eprintln!("--- last lines of {} ---\n{lines}", label(name));
    }
}

/// Copies what the processes have logged to where somebody can read it.
fn keep_logs(stage: &Stage, folder: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for name in stage.world.names() {
        let file = format!("{}.log", label(name));
        let from = stage.world.folder().join(&file);
        // Who never ran has none.
        if from.exists() {
            std::fs::copy(from, std::path::Path::new(folder).join(&file)).unwrap();
        }
    }
}
