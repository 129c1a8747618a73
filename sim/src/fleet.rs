//! All programs of a run: two instances of each service, the gateways, their leases.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use inventory::context::InventoryContext;
use messaging::clock::{Clock, Timestamp};
use messaging::context::Context;
use messaging::health::{Condition, Health};
use messaging::lease::memory::MemoryLease;
use messaging::message::Binding;
use messaging::runtime::{self, Error, Feed, Options};
use messaging::store;
use order::context::OrderContext;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::check::Side;
use crate::databases::Databases;
use crate::edge::Edge;
use crate::plan::{LEASE_TIME, Plan};
use crate::ports::store::{Backend, SimStore};
use crate::ports::{SimLease, ports};
use crate::process::Process;
use crate::slot::{Program, Slot};
use crate::world::World;

/// The programs of a run.
pub(crate) struct Fleet {
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) told: Arc<Told>,
    stop: CancellationToken,
    keepers: JoinSet<()>,
}

/// What the programs tell about themselves.
#[derive(Default)]
pub(crate) struct Told {
    healths: Mutex<Vec<(Arc<Process>, Health)>>,
    refusals: Mutex<Vec<(Arc<Process>, Error)>>,
}

impl Fleet {
    /// Starts everything that the plan names.
    pub(crate) fn start<D: Databases>(world: &Arc<World>, plan: &Plan, databases: &Arc<D>) -> Self {
        let mut fleet = Self {
            slots: Vec::new(),
            edges: Vec::new(),
            told: Arc::default(),
            stop: CancellationToken::new(),
            keepers: JoinSet::new(),
        };
        let (orders, stock) = (lease(world), lease(world));
        for number in 0..plan.instances {
            let program = fleet.order(plan.partitions, orders.another(), databases);
            fleet.add(world, plan, &format!("order-{number}"), program);
        }
        for number in 0..plan.instances {
            let program = fleet.inventory(plan.partitions, stock.another(), databases);
            fleet.add(world, plan, &format!("inventory-{number}"), program);
        }
        for number in 0..plan.gateways {
            let edge = Edge::default();
            let program = edge.program(plan.partitions);
            fleet.edges.push(edge);
            fleet.add(world, plan, &format!("gateway-{number}"), program);
        }
        fleet
    }

    fn add(&mut self, world: &Arc<World>, plan: &Plan, name: &str, program: Program) {
        let number = self.slots.len();
        let mut fates = plan.first_fates.iter();
        let fate = fates.find(|(slot, _)| *slot == number);
        let slot = Slot::new(name, world, program, fate.map(|(_, fate)| *fate));
        self.slots.push(Arc::clone(&slot));
        self.keepers.spawn(slot.keep(self.stop.clone()));
    }

    fn order<D: Databases>(
        &self,
        partitions: i32,
        leases: MemoryLease,
        databases: &Arc<D>,
    ) -> Program {
        let (told, databases) = (Arc::clone(&self.told), Arc::clone(databases));
        Box::new(move |process, shutdown| {
            let service = Service {
                process: Arc::clone(process),
                partitions,
                lease: SimLease::new(process, leases.another()),
                told: Arc::clone(&told),
                shutdown,
            };
            let databases = Arc::clone(&databases);
            Box::pin(async move {
                let opened = databases.order().await;
                service
                    .run(OrderContext::default(), Side::Order, opened)
                    .await;
            })
        })
    }

    fn inventory<D: Databases>(
        &self,
        partitions: i32,
        leases: MemoryLease,
        databases: &Arc<D>,
    ) -> Program {
        let (told, databases) = (Arc::clone(&self.told), Arc::clone(databases));
        Box::new(move |process, shutdown| {
            let service = Service {
                process: Arc::clone(process),
                partitions,
                lease: SimLease::new(process, leases.another()),
                told: Arc::clone(&told),
                shutdown,
            };
            let databases = Arc::clone(&databases);
            Box::pin(async move {
                let opened = databases.inventory().await;
                service
                    .run(InventoryContext::default(), Side::Inventory, opened)
                    .await;
            })
        })
    }

    /// The programs of one service.
    pub(crate) fn of(&self, side: Side) -> impl Iterator<Item = &Arc<Slot>> {
        let name = match side {
            Side::Order => "order-",
            Side::Inventory => "inventory-",
        };
        self.slots
            .iter()
            .filter(move |slot| slot.name.starts_with(name))
    }

    /// Every process that is alive.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        self.slots
            .iter()
            .flat_map(|slot| slot.processes())
            .collect()
    }
}

/// One incarnation of a service.
struct Service {
    process: Arc<Process>,
    partitions: i32,
    lease: SimLease,
    told: Arc<Told>,
    shutdown: CancellationToken,
}

impl Service {
    async fn run<C: Context, S: Backend<C>>(
        self,
        context: C,
        side: Side,
        opened: Result<Arc<S>, store::Error>,
    ) {
        let Self {
            process,
            partitions,
            lease,
            told,
            shutdown,
        } = self;
        let store = match opened {
            Ok(store) => store,
            Err(error) => return process.note(format_args!("cannot open: {error}")),
        };
        let health = Health::new();
        told.add(&process, health.clone());
        let options = Options {
            partitions,
            binding: Binding::Register,
        };
        let ended = runtime::run(
            Arc::new(context),
            Arc::new(SimStore::new(&process, side, &store)),
            ports(&process, lease),
            options,
            Feed::new(),
            health,
            shutdown,
        )
        .await;
        if let Err(error) = ended {
            process.note(format_args!("refuses: {error}"));
            told.refuse(&process, error);
        }
    }
}

impl Told {
    fn add(&self, process: &Arc<Process>, health: Health) {
        let mut healths = self.healths.lock().unwrap();
        healths.retain(|(process, _)| process.is_alive());
        healths.push((Arc::clone(process), health));
    }

    fn refuse(&self, process: &Arc<Process>, error: Error) {
        let mut refusals = self.refusals.lock().unwrap();
        refusals.push((Arc::clone(process), error));
    }

    /// Takes why programs ended by themselves.
    pub(crate) fn refusals(&self) -> Vec<(Arc<Process>, Error)> {
        std::mem::take(&mut *self.refusals.lock().unwrap())
    }

    /// Parts that wait for a person, of programs that are alive.
    pub(crate) fn stopped(&self) -> Vec<Stopped> {
        let stopped = |(process, part, condition)| match condition {
            Condition::Stopped { reason } => Some(Stopped {
                process,
                part,
                reason,
            }),
            _ => None,
        };
        self.parts().into_iter().filter_map(stopped).collect()
    }

    /// Shards that a program holds and does not work on, until a person acts.
    pub(crate) fn stopped_shards(&self) -> Vec<(Side, i32)> {
        let shard = |stopped: Stopped| {
            let mut words = stopped.part.split(' ');
            let number = words.nth(1).filter(|_| stopped.part.starts_with("shard "));
            Some((stopped.process.side()?, number?.parse().ok()?))
        };
        self.stopped().into_iter().filter_map(shard).collect()
    }

    /// Whether a program that is alive works on a shard.
    pub(crate) fn works_on(&self, side: Side, shard: i32) -> bool {
        let name = format!("shard {shard} turn");
        self.parts().iter().any(|(process, part, condition)| {
            let works = !matches!(condition, Condition::Stopped { .. });
            process.side() == Some(side) && *part == name && works
        })
    }

    /// All parts of the programs that are alive.
    fn parts(&self) -> Vec<(Arc<Process>, String, Condition)> {
        let healths = self.healths.lock().unwrap();
        let alive = healths.iter().filter(|(process, _)| process.is_alive());
        let parts = alive.flat_map(|(process, health)| {
            let parts = health.report().into_iter();
            parts.map(|(part, condition)| (Arc::clone(process), part, condition))
        });
        parts.collect()
    }
}

/// A part of a program that waits for a person.
pub(crate) struct Stopped {
    pub(crate) process: Arc<Process>,
    pub(crate) part: String,
    pub(crate) reason: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.process.name, self.part, self.reason)
    }
}

/// The leases of one service; every incarnation is a holder of its own.
fn lease(world: &Arc<World>) -> MemoryLease {
    let clock = LeaseClock {
        world: Arc::clone(world),
        skew: Arc::clone(&world.lease_skew),
    };
    MemoryLease::new(Arc::new(clock), LEASE_TIME)
}

/// The database's clock, which the leases go by.
struct LeaseClock {
    world: Arc<World>,
    skew: Arc<AtomicI64>,
}

#[async_trait]
impl Clock for LeaseClock {
    fn now(&self) -> Timestamp {
        let Timestamp(now) = self.world.now();
        Timestamp(now + self.skew.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
