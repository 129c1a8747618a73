//! A real store under attack, its memory watched: while hundreds of connections misbehave a client that
//! does not is served, each attack ends in bounded time, and memory stays bounded.
//!
//! `cargo test -p shop --test attack -- --ignored --nocapture` prints the table of `docs/attacks.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; an attacker opens sockets, reads the clock and owns its tasks"
)]

mod attacks;
mod served;
mod service;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the attacks take a part of it")]
#[path = "../../../tests/edge/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::Up;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use attacks::{ATTACKS, Attack};
use served::Served;

/// How long each attack goes on while its victim is asked by others.
const ATTACK: Duration = Duration::from_millis(1_500);
/// A victim's memory at its worst, above what it took before: the bounds of what requests may hold,
/// and room for what an allocator keeps.
const GROWTH_MIB_MAX: u64 = 256;
/// How long a well-behaved call may take meanwhile, on a machine that the attackers share.
const CALL_MAX: Duration = Duration::from_secs(5);

/// A store, and what its kernel says of it.
struct Victim {
    store: Up,
    before_mib: u64,
}

impl Victim {
    fn start() -> Self {
        let store = Up::start(&["--fresh", "--seed"]);
        let mut victim = Self {
            store,
            before_mib: 0,
        };
        victim.before_mib = victim.memory_mib("VmRSS");
        // From now on the peak is that of the attack.
        let clear = format!("/proc/{}/clear_refs", victim.pid());
        std::fs::write(clear, "5").unwrap();
        victim
    }

    fn pid(&self) -> u64 {
        self.store.ready["pid"].as_u64().unwrap()
    }

    fn memory_mib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1_024
    }

    fn address(&self, part: &str) -> SocketAddr {
        self.store.address(part).parse().unwrap()
    }
}

/// What an attack came to.
struct Row {
    attack: &'static Attack,
    ended: Option<Duration>,
    served: Served,
    before_mib: u64,
    peak_mib: u64,
}

impl Row {
    fn print(&self) {
        let ended = match self.ended {
            Some(after) => format!("{:.1} s", after.as_secs_f64()),
            None => "held".to_owned(),
        };
        println!(
            "| {} | {} | {ended} | {} in {} ms at most | {} MiB, {} before |",
            self.attack.name,
            self.attack.setting,
            self.served.calls,
            self.served.slowest.as_millis(),
            self.peak_mib,
            self.before_mib
        );
    }

    fn check(&self) {
        let name = self.attack.name;
        assert_eq!(self.served.failure, None, "{name}");
        assert!(self.served.calls > 0, "{name}: nobody was served");
        let slowest = self.served.slowest;
        assert!(slowest < CALL_MAX, "{name}: {slowest:?}");
        let (before, peak) = (self.before_mib, self.peak_mib);
        assert!(
            peak < before + GROWTH_MIB_MAX,
            "{name}: {peak} MiB after {before}"
        );
        if let Some(max) = self.attack.ends_within {
            let ended = self.ended.unwrap();
            assert!(ended <= max + ATTACK, "{name}: {ended:?}");
        }
    }
}

/// Reads until the server ends the connection.
async fn drained(mut stream: TcpStream) {
    let mut read = vec![0; 64 << 10];
    while matches!(stream.read(&mut read).await, Ok(bytes) if bytes > 0) {}
}

/// Attacks a store of its own; the row once every connection has ended, if they are to.
async fn attacked(attack: &'static Attack) -> impl Future<Output = Row> {
    let victim = Victim::start();
    let address = victim.address(attack.part);
    let begun = Instant::now();
    let serving = served::while_attacked(&victim.store, begun + ATTACK);
    let (held, served) = tokio::join!((attack.begin)(address), serving);
    async move {
        let mut served = served;
        let mut open = JoinSet::new();
        let ended = attack.ends_within.map(|_| ());
        let streams = match ended {
            Some(()) => {
                held.streams
                    .into_iter()
                    .for_each(|stream| drop(open.spawn(drained(stream))));
                vec![]
            }
            None => held.streams,
        };
        while open.join_next().await.is_some() {}
        let ended = ended.map(|()| begun.elapsed());
        let peak_mib = victim.memory_mib("VmHWM");
        served.add(served::once(&victim.store).await);
        drop((streams, held.watches));
        let before_mib = victim.before_mib;
        assert_eq!(victim.store.stop(), 0, "{}", attack.name);
        Row {
            attack,
            ended,
            served,
            before_mib,
            peak_mib,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute: fifteen attacks on stores of their own, some of which end after 30 s"]
async fn attacks_end_and_a_client_that_behaves_is_served() {
    let mut rows = JoinSet::new();
    for attack in ATTACKS {
        // One after the other; their ends are waited for together.
        let ending = attacked(attack).await;
        rows.spawn(ending);
    }
    println!("| attack | bounded by | ended after | others were served | memory at most |");
    println!("|---|---|---|---|---|");
    let rows = rows.join_all().await;
    rows.iter().for_each(Row::print);
    rows.iter().for_each(Row::check);
}
