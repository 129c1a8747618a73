//! One run of one program: its tasks live, pause and die together.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use messaging::spawner::{Spawner, Task, Work};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::check::Side;
use crate::dice::Dice;
use crate::ports::STEPS;
use crate::world::World;

/// What is to happen to a process, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) doom: Doom,
    /// How many more chances it has until then.
    pub(crate) left: u64,
    pub(crate) at: Chance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doom {
    /// All its tasks are dropped at once, like by `kill -9`.
    Crash,
    /// None of its tasks is polled for this long, like by SIGSTOP and SIGCONT.
    Pause(Duration),
}

/// What is counted down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// Polls of its tasks: any await.
    Poll,
    /// Steps of its calls on ports: before the effect and after it.
    Step,
    /// Steps of this name.
    Named(&'static str),
}

impl Chance {
    /// Whether the step called `name` is one of these.
    fn is_step(self, name: &str) -> bool {
        match self {
            Self::Poll => false,
            Self::Step => true,
            Self::Named(wanted) => wanted == name,
        }
    }
}

/// One incarnation of a program.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) world: Arc<World>,
    alive: AtomicBool,
    ended: watch::Sender<bool>,
    tasks: Mutex<Tasks>,
    fate: Mutex<Option<Fate>>,
    paused_until: Mutex<Option<Instant>>,
    dice: Mutex<Dice>,
    /// Wall clock against the world's, in milliseconds.
    pub(crate) skew: AtomicI64,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    /// `None` while a task is being polled.
    bodies: BTreeMap<u64, Option<Work>>,
}

impl Process {
    pub(crate) fn new(name: String, world: &Arc<World>) -> Arc<Self> {
        let dice = world.dice(Dice::fork);
        Arc::new(Self {
            name,
            world: Arc::clone(world),
            alive: AtomicBool::new(true),
            ended: watch::Sender::new(false),
            tasks: Mutex::default(),
            fate: Mutex::default(),
            paused_until: Mutex::default(),
            dice: Mutex::new(dice),
            skew: AtomicI64::new(0),
        })
    }

    /// The service that it is an instance of.
    pub(crate) fn side(&self) -> Option<Side> {
        match self.name.split('-').next() {
            Some("order") => Some(Side::Order),
            Some("inventory") => Some(Side::Inventory),
            _ => None,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Decides what becomes of it.
    pub(crate) fn destine(&self, fate: Option<Fate>) {
        *self.fate.lock().unwrap() = fate;
    }

    pub(crate) fn dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.dice.lock().unwrap())
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.world.trace.note(&self.name, what);
    }

    /// A fault has come over one of its calls.
    pub(crate) fn meets(&self, fault: fmt::Arguments<'_>) {
        self.world.count(|counts| counts.fault(&fault.to_string()));
    }

    /// Drops all tasks at once.
    pub(crate) fn crash(&self, whence: &str) {
        if self.alive.swap(false, Ordering::SeqCst) {
            self.note(format_args!("CRASH {whence}"));
            self.world.count(|counts| counts.crash(whence));
            self.world.checker.crashed(whence);
            self.bury();
        }
    }

    /// Ends without a crash: whatever still runs goes away.
    pub(crate) fn exit(&self) {
        if self.alive.swap(false, Ordering::SeqCst) {
            self.bury();
        }
    }

    fn bury(&self) {
        let bodies = std::mem::take(&mut self.tasks.lock().unwrap().bodies);
        drop(bodies);
        self.ended.send_replace(true);
    }

    /// Completes when the process is dead.
    pub(crate) async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    pub(crate) fn pause(&self, span: Duration) {
        self.note(format_args!("PAUSE for {} s", span.as_secs()));
        self.world.count(|counts| counts.pauses += 1);
        *self.paused_until.lock().unwrap() = Some(Instant::now() + span);
    }

    /// Until when it is paused.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
            .lock()
            .unwrap()
            .filter(|until| *until > Instant::now())
    }

    /// Counts a chance down, if its fate is bound to it; what was to happen happens.
    fn meet_fate(&self, is_bound: impl FnOnce(Chance) -> bool, whence: &str) {
        let due = {
            let mut fate = self.fate.lock().unwrap();
            match fate.as_mut() {
                Some(found) if !is_bound(found.at) => None,
                Some(found) if found.left > 0 => {
                    found.left -= 1;
                    None
                }
                _ => fate.take(),
            }
        };
        match due.map(|fate| fate.doom) {
            Some(Doom::Crash) => self.crash(whence),
            Some(Doom::Pause(span)) => self.pause(span),
            None => {}
        }
    }

    /// One step of a call on a port. The sweep counts these; here the process may die, and
    /// whatever else is ready may go first.
    pub(crate) async fn step(&self, name: &str) {
        assert!(STEPS.contains(&name), "{name} is not among the steps");
        self.world.step(self, name);
        self.meet_fate(|chance| chance.is_step(name), name);
        if !self.is_alive() {
            // The task is dropped as soon as it returns to its scheduler.
            return std::future::pending().await;
        }
        let jitter = self.world.weather().jitter;
        if self.dice(|dice| dice.chance(jitter)) {
            let wait = self.dice(|dice| dice.millis(1..=20));
            tokio::time::sleep(wait).await;
        } else if self.dice(|dice| dice.chance(jitter)) {
            tokio::task::yield_now().await;
        }
    }
}

/// Tasks of a process.
pub(crate) struct SimSpawner(pub(crate) Arc<Process>);

impl Spawner for SimSpawner {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the adapter that the ban points to"
    )]
    fn spawn(&self, name: &'static str, work: Work) -> Task {
        let process = Arc::clone(&self.0);
        let id = {
            let mut tasks = process.tasks.lock().unwrap();
            tasks.next += 1;
            let id = tasks.next;
            if process.is_alive() {
                tasks.bodies.insert(id, Some(work));
            }
            id
        };
        let running = Running {
            process,
            id,
            waking: None,
        };
        Task::new(name, tokio::spawn(running))
    }
}

/// A task of a process, on the simulator's thread.
struct Running {
    process: Arc<Process>,
    id: u64,
    waking: Option<Pin<Box<Sleep>>>,
}

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let process = Arc::clone(&self.process);
        if !process.is_alive() {
            return Poll::Ready(());
        }
        let postpone = process.world.weather().postpone;
        if process.dice(|dice| dice.chance(postpone)) {
            // Whatever else is ready goes first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        process.meet_fate(|chance| chance == Chance::Poll, "at an await");
        if !process.is_alive() {
            return Poll::Ready(());
        }
        if let Some(until) = process.paused_until() {
            let mut waking = Box::pin(tokio::time::sleep_until(until));
            if waking.as_mut().poll(cx).is_pending() {
                self.waking = Some(waking);
                return Poll::Pending;
            }
        }
        self.waking = None;
        let Some(mut body) = process.take(self.id) else {
            return Poll::Ready(());
        };
        match body.as_mut().poll(cx) {
            Poll::Ready(()) => {
                process.forget(self.id);
                Poll::Ready(())
            }
            Poll::Pending => process.put_back(self.id, body),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.forget(self.id);
    }
}

impl Process {
    fn take(&self, id: u64) -> Option<Work> {
        self.tasks.lock().unwrap().bodies.get_mut(&id)?.take()
    }

    fn put_back(&self, id: u64, body: Work) -> Poll<()> {
        let mut tasks = self.tasks.lock().unwrap();
        match tasks.bodies.get_mut(&id) {
            Some(place) => {
                *place = Some(body);
                Poll::Pending
            }
            // The process has died meanwhile, or the task was given up.
            None => {
                drop(tasks);
                drop(body);
                Poll::Ready(())
            }
        }
    }

    fn forget(&self, id: u64) {
        let body = self.tasks.lock().unwrap().bodies.remove(&id);
        drop(body);
    }
}
