//! What is done to the store while it works.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use messaging::crash::Point;
use tokio::time::Instant;

use crate::mix::Mix;
use crate::proxy::{Condition, Direction};
use crate::real::dice::Dice;
use crate::real::process::Role;
use crate::world::{Way, World};

/// How long a fault lasts.
const LASTS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// How long nothing is done between two faults of one lane.
const BETWEEN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(600));
/// How soon a part that was killed is killed once more, while it recovers.
const AGAIN: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(600));
/// Visits after which a part ends at a place, at most.
const VISITS_MAX: usize = 20;
/// How long a part may take to come to the place where it ends: its start, and traffic.
const CRASH_MAX: Duration = Duration::from_secs(10);
/// How long a COMMIT may last before the process ends inside it: a sync takes about as long.
const COMMIT_MICROS_MAX: usize = 1_500;
/// How late pieces are on a slow way, at most.
const DELAY_MAX: Duration = Duration::from_millis(150);
/// What a slow way carries.
const BYTES_PER_SECOND: (usize, usize) = (8 << 10, 256 << 10);

/// One thing that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9, and again while it recovers, perhaps.
    Kill(Role),
    /// SIGTERM.
    Restart(Role),
    /// SIGSTOP, SIGCONT.
    Pause(Role),
    /// The process ends at a place.
    Crash(Role, Point),
    /// Nothing gets through.
    Cut(Way),
    /// One direction gets lost.
    OneWay(Way, Direction),
    /// Late, and few.
    Slow(Way),
    /// Every connection is reset, new ones are welcome.
    Reset(Way),
    /// No room on the disk of log and inventory.
    FullDisk,
}

impl Fault {
    /// What it is, whomever it hits.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::Restart(_) => "restart (SIGTERM)",
            Self::Pause(_) => "pause (SIGSTOP)",
            Self::Crash(..) => "crash point",
            Self::Cut(_) => "cut",
            Self::OneWay(..) => "one-way",
            Self::Slow(_) => "slow",
            Self::Reset(_) => "reset",
            Self::FullDisk => "full disk",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind())?;
        match self {
            Self::Kill(role) | Self::Restart(role) | Self::Pause(role) => f.write_str(role.name()),
            Self::Crash(role, point) => write!(f, "{} at {}", role.name(), point.name()),
            Self::Cut(way) | Self::Slow(way) | Self::Reset(way) => way.fmt(f),
            Self::OneWay(way, Direction::Up) => write!(f, "{way}, requests vanish"),
            Self::OneWay(way, Direction::Down) => write!(f, "{way}, answers vanish"),
            Self::FullDisk => f.write_str("log and inventory"),
        }
    }
}

/// The faults of one run: what is drawn next, and what was done.
#[derive(Debug)]
pub(crate) struct Schedule {
    drawing: Mutex<Drawing>,
    done: Mutex<BTreeMap<String, Times>>,
}

/// How often a fault was injected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) kind: &'static str,
    pub(crate) hit: u32,
    /// How often there was nothing to hit, or the process did not come to the place.
    pub(crate) missed: u32,
}

/// A deck of all faults, drawn to its end before it is shuffled again.
#[derive(Debug)]
struct Drawing {
    dice: Dice,
    faults: Vec<Fault>,
    deck: Vec<Fault>,
}

impl Schedule {
    pub(crate) fn new(mix: &Mix, mut dice: Dice) -> Self {
        let mut deck = mix.faults.clone();
        dice.shuffle(&mut deck);
        // One of each kind first (that is: last, for it is drawn from the end).
        let mut first: Vec<Fault> = Vec::new();
        for fault in &deck {
            if !first.iter().any(|other| other.kind() == fault.kind()) {
                first.push(*fault);
            }
        }
        deck.retain(|fault| !first.contains(fault));
        deck.append(&mut first);
        Self {
            drawing: Mutex::new(Drawing {
                dice,
                faults: mix.faults.clone(),
                deck,
            }),
            done: Mutex::default(),
        }
    }

    /// Draws and injects one fault after the other until `end`.
    pub(crate) async fn lane(&self, world: &World, end: Instant) {
        while Instant::now() < end {
            let (fault, mut dice) = self.draw();
            tokio::time::sleep(dice.between(BETWEEN.0, BETWEEN.1)).await;
            let hit = inject(world, fault, &mut dice).await;
            let mut done = self.done.lock().unwrap();
            let times = done.entry(fault.to_string()).or_insert(Times {
                kind: fault.kind(),
                hit: 0,
                missed: 0,
            });
            if hit {
                times.hit += 1;
            } else {
                times.missed += 1;
                drop(done);
                self.put_back(fault);
            }
        }
    }

    fn draw(&self) -> (Fault, Dice) {
        let mut drawing = self.drawing.lock().unwrap();
        if drawing.deck.is_empty() {
            let mut deck = drawing.faults.clone();
            drawing.dice.shuffle(&mut deck);
            drawing.deck = deck;
        }
        (drawing.deck.pop().unwrap(), drawing.dice.fork())
    }

    /// It comes again when the rest of the deck is drawn.
    fn put_back(&self, fault: Fault) {
        self.drawing.lock().unwrap().deck.insert(0, fault);
    }

    /// What was done.
    pub(crate) fn done(&self) -> BTreeMap<String, Times> {
        self.done.lock().unwrap().clone()
    }
}

/// Does it and undoes it; whether it hit.
async fn inject(world: &World, fault: Fault, dice: &mut Dice) -> bool {
    let lasts = dice.between(LASTS.0, LASTS.1);
    match fault {
        Fault::Kill(role) => kill(world, role, lasts, dice).await,
        Fault::Restart(role) => {
            let mut process = world.process(role).lock().await;
            let hit = process.stop().await;
            if dice.percent(50) {
                tokio::time::sleep(lasts).await;
            }
            process.start(None);
            hit
        }
        Fault::Pause(role) => world.process(role).lock().await.pause(lasts).await,
        Fault::Crash(role, point) => crash(world, role, point, dice).await,
        Fault::Cut(way) => broken(world, way, Condition::Cut, lasts).await,
        Fault::OneWay(way, direction) => {
            broken(world, way, Condition::OneWay(direction), lasts).await
        }
        Fault::Slow(way) => {
            let (least, most) = BYTES_PER_SECOND;
            let slow = Condition::Slow {
                delay: dice.between(Duration::ZERO, DELAY_MAX),
                bytes_per_second: u32::try_from(least + dice.below(most - least)).unwrap(),
            };
            broken(world, way, slow, lasts).await
        }
        Fault::Reset(way) => {
            world.link(way).lock().await.reset();
            true
        }
        Fault::FullDisk => {
            let Some(disk) = world.disk() else {
                return false;
            };
            let disk = disk.lock().await;
            disk.fill();
            tokio::time::sleep(lasts).await;
            disk.free();
            true
        }
    }
}

async fn kill(world: &World, role: Role, lasts: Duration, dice: &mut Dice) -> bool {
    let mut process = world.process(role).lock().await;
    let hit = process.kill();
    if dice.percent(40) {
        tokio::time::sleep(lasts).await;
    }
    process.start(None);
    if dice.percent(25) {
        tokio::time::sleep(dice.between(AGAIN.0, AGAIN.1)).await;
        process.kill();
        process.start(None);
    }
    hit
}

async fn crash(world: &World, role: Role, point: Point, dice: &mut Dice) -> bool {
    let mut process = world.process(role).lock().await;
    let visit = 1 + dice.below(VISITS_MAX);
    let place = format!("{}:{visit}:{}", point.name(), dice.below(COMMIT_MICROS_MAX));
    process.kill();
    process.start(Some(&place));
    let hit = process.crashed(CRASH_MAX).await;
    process.kill();
    process.start(None);
    hit
}

async fn broken(world: &World, way: Way, condition: Condition, lasts: Duration) -> bool {
    let link = world.link(way).lock().await;
    link.set(condition);
    tokio::time::sleep(lasts).await;
    link.set(Condition::Clear);
    true
}
