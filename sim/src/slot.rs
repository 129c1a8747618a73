//! A program that is kept running: crashes are followed by a restart under a new incarnation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use messaging::spawner::{Spawner, Task, Work};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::process::{Fate, Process, SimSpawner};
use crate::world::World;

/// Makes the main task of an incarnation; it works until the token is cancelled.
pub(crate) type Program = Box<dyn Fn(&Arc<Process>, CancellationToken) -> Work + Send + Sync>;

/// One program under supervision.
pub(crate) struct Slot {
    pub(crate) name: String,
    world: Arc<World>,
    program: Program,
    incarnations: AtomicU64,
    first_fate: Option<Fate>,
    held: watch::Sender<bool>,
    running: Mutex<Vec<Incarnation>>,
}

struct Incarnation {
    process: Arc<Process>,
    shutdown: CancellationToken,
    _main: Task,
}

impl Slot {
    pub(crate) fn new(
        name: &str,
        world: &Arc<World>,
        program: Program,
        first_fate: Option<Fate>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            world: Arc::clone(world),
            program,
            incarnations: AtomicU64::new(0),
            first_fate,
            held: watch::Sender::new(false),
            running: Mutex::default(),
        })
    }

    /// Starts one more incarnation, whatever runs already.
    pub(crate) fn launch(&self) -> Arc<Process> {
        let number = self.incarnations.fetch_add(1, Ordering::SeqCst) + 1;
        let process = Process::new(format!("{}#{number}", self.name), &self.world);
        process.note(format_args!("starts"));
        if number == 1 {
            process.destine(self.first_fate);
        }
        let shutdown = CancellationToken::new();
        let main = (self.program)(&process, shutdown.clone());
        let ending = Arc::clone(&process);
        let main = SimSpawner(Arc::clone(&process)).spawn(
            "main",
            Box::pin(async move {
                main.await;
                ending.note(format_args!("ends"));
                ending.exit();
            }),
        );
        let incarnation = Incarnation {
            process: Arc::clone(&process),
            shutdown,
            _main: main,
        };
        let mut running = self.running.lock().unwrap();
        running.retain(|incarnation| incarnation.process.is_alive());
        running.push(incarnation);
        process
    }

    /// Kills every incarnation, and starts no other until it is told to.
    pub(crate) fn hold(&self, whence: &str) {
        self.held.send_replace(true);
        for process in self.processes() {
            process.crash(whence);
        }
    }

    /// Ends [`Slot::hold`].
    pub(crate) fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// The newest incarnation that is alive.
    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        let running = self.running.lock().unwrap();
        let mut alive = running.iter().rev().map(|found| &found.process);
        alive.find(|process| process.is_alive()).cloned()
    }

    /// All incarnations that are alive, oldest first.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        let running = self.running.lock().unwrap();
        let alive = running.iter().map(|found| &found.process);
        alive
            .filter(|process| process.is_alive())
            .cloned()
            .collect()
    }

    /// Asks the newest incarnation to end in good order.
    pub(crate) fn shut_down(&self) {
        let running = self.running.lock().unwrap();
        if let Some(newest) = running.iter().rev().find(|found| found.process.is_alive()) {
            newest.process.note(format_args!("is told to shut down"));
            newest.shutdown.cancel();
        }
    }

    /// Keeps the program running until the token is cancelled.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let _ = self.held.subscribe().wait_for(|held| !held).await;
            let process = self.launch();
            process.ended().await;
            if let Some(other) = self.process() {
                // A twin was started meanwhile; it is looked after from now on.
                other.ended().await;
            }
            let wait = self.world.dice(|dice| dice.millis(10..=3_000));
            tokio::time::sleep(wait).await;
        }
    }
}
