//! One run: faults, then calm, then quiescence, then the checks of the end.

use std::sync::Arc;
use std::time::Duration;

use messaging::limits::{BACKOFF, LOG_CALL_TIMEOUT};
use messaging::registry::ErrorKind;
use messaging::runtime::Error;
use messaging::store;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::Violation;
use crate::client::{self, Sent};
use crate::counts::{AT_REST, Counts};
use crate::databases::{Databases, Rows};
use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::memory::InMemory;
use crate::operator::Operators;
use crate::plan::{LEASE_TIME, Plan};
use crate::world::World;
use crate::{check, end, events, proof};

/// How long the store may take to come to rest once nothing goes wrong any more: twice the lease
/// time, the longest backoff, and the time for what is under way to be given up and done again.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(
    2 * LEASE_TIME.as_secs() + BACKOFF.max.as_secs() + 2 * LOG_CALL_TIMEOUT.as_secs(),
);

/// How often operators may have to clear up until nothing is parked.
const CLEARINGS_MAX: usize = 5;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) counts: Counts,
    pub(crate) checked: check::Counts,
    pub(crate) trace: Vec<String>,
}

/// Runs a seed in memory; `record` makes its trace.
pub(crate) fn seed(seed: u64, record: bool) -> Report {
    seasoned(seed, record, |_| {})
}

/// As [`seed`], with another plan than the seed's own.
pub(crate) fn seasoned(seed: u64, record: bool, season: impl FnOnce(&mut Plan)) -> Report {
    runtime().block_on(async {
        let mut dice = Dice::new(seed);
        let mut plan = Plan::draw(&mut dice);
        season(&mut plan);
        let world = World::new(dice.fork(), plan.partitions, record, Vec::new());
        let databases = Arc::new(InMemory::new(&world));
        simulate(&world, &plan, &databases).await;
        report(seed, &world)
    })
}

/// One thread with a paused clock.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// What the run in `world` has come to.
pub(crate) fn report(seed: u64, world: &World) -> Report {
    Report {
        seed,
        violation: world.violation(),
        counts: world.counts(),
        checked: world.checker.counts(),
        trace: world.trace.lines(),
    }
}

/// Runs a plan until it is over or something did not hold.
pub(crate) async fn simulate<D: Databases>(world: &Arc<World>, plan: &Plan, databases: &Arc<D>) {
    unless_violated(world, plan, story(world, plan, databases)).await;
}

/// Runs the story of a plan until it is over or something did not hold.
pub(crate) async fn unless_violated(
    world: &World,
    plan: &Plan,
    story: impl Future<Output = Result<(), Violation>>,
) {
    world.count(|counts| {
        counts.orders = plan.orders() as u64;
        counts.commands = plan.sendings.len() as u64;
    });
    tokio::select! {
        biased;
        () = world.until_violated() => {}
        outcome = story => {
            if let Err(violation) = outcome {
                world.violated(violation);
            }
        }
    }
}

async fn story<D: Databases>(
    world: &Arc<World>,
    plan: &Plan,
    databases: &Arc<D>,
) -> Result<(), Violation> {
    let fleet = Fleet::start(world, plan, databases);
    let rest = come_to_rest(world, &fleet, plan, databases).await?;
    finish(world, &fleet, plan, databases, &rest.sent, &rest.rows).await?;
    match rest.operators {
        Some(operators) => operators.leave().await,
        None => Ok(()),
    }
}

/// A run at rest: what clients were told, and what the services hold.
pub(crate) struct Rest {
    pub(crate) sent: Vec<Sent>,
    pub(crate) rows: Rows,
    operators: Option<Arc<Operators>>,
}

/// Lets everything happen and end.
pub(crate) async fn come_to_rest<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    plan: &Plan,
    databases: &Arc<D>,
) -> Result<Rest, Violation> {
    let clients = clients(world, fleet, plan);
    let operators = match &plan.shift {
        Some(shift) => {
            let hired = Operators::hire(world, shift, &**databases).await;
            Some(hired.map_err(fatal)?)
        }
        None => None,
    };
    let acts = operators.iter().zip(&plan.shift);
    let acts: Vec<_> = acts
        .map(|(operators, shift)| operators.begin(shift))
        .collect();
    events::happen(world, fleet, plan).await;
    events::heal(world, fleet).await;
    let sent = answered(clients).await;
    for acts in acts {
        acts.join_all().await;
    }
    let mut rows = settle_timed(world, fleet, databases).await?;
    if let Some(operators) = &operators {
        rows = cleared(world, fleet, databases, operators, rows).await?;
        operators.leave().await?;
        operators.count();
    }
    world.checker.settled(world.now());
    world.look();
    Ok(Rest {
        sent,
        rows,
        operators,
    })
}

/// As [`settle`], and notes how long it took.
async fn settle_timed<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    databases: &Arc<D>,
) -> Result<Rows, Violation> {
    let healed = Instant::now();
    let rows = settle(world, fleet, databases, &mut Whole).await?;
    let took = healed.elapsed();
    world.count(|counts| counts.settle = took);
    world
        .trace
        .note("world", format_args!("SETTLED after {took:?}"));
    Ok(rows)
}

/// Lets the operators clear up until nothing is parked and everything is at rest again.
async fn cleared<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    databases: &Arc<D>,
    operators: &Operators,
    mut rows: Rows,
) -> Result<Rows, Violation> {
    for _ in 0..CLEARINGS_MAX {
        if operators.clear().await? == 0 {
            return Ok(rows);
        }
        rows = settle(world, fleet, databases, &mut Whole).await?;
    }
    Err(Violation {
        invariant: "availability",
        detail: format!("messages are parked after {CLEARINGS_MAX} clearings"),
    })
}

/// What every run comes to that has lost nothing for good.
pub(crate) async fn end_well<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    plan: &Plan,
    databases: &Arc<D>,
    sent: &[Sent],
) -> Result<(), Violation> {
    let rows = settle_timed(world, fleet, databases).await?;
    world.checker.settled(world.now());
    world.look();
    finish(world, fleet, plan, databases, sent, &rows).await
}

/// The proof of what is at rest, and that recovering again changes nothing.
async fn finish<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    plan: &Plan,
    databases: &Arc<D>,
    sent: &[Sent],
    rows: &Rows,
) -> Result<(), Violation> {
    proof::check(world, sent, rows).await?;
    recover_again(world, fleet, databases, plan.recoveries, rows).await
}

/// Waits until every client has been answered or has given up.
pub(crate) async fn answered(mut clients: JoinSet<Sent>) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let Some(done) = clients.join_next().await {
        sent.push(done.unwrap());
    }
    sent
}

pub(crate) fn clients(world: &Arc<World>, fleet: &Fleet, plan: &Plan) -> JoinSet<Sent> {
    let mut clients = JoinSet::new();
    for (number, sending) in plan.sendings.iter().enumerate() {
        let dice = world.dice(Dice::fork);
        let (world, edges) = (Arc::clone(world), fleet.edges.clone());
        clients.spawn(client::send(world, edges, sending.clone(), number, dice));
    }
    clients
}

/// What is expected of a run whose faults are over.
pub(crate) trait Expectation {
    /// Looks at what the programs tell; fails if they tell what they must not.
    fn look(&mut self, world: &World, fleet: &Fleet) -> Result<(), Violation>;

    /// What is left to do.
    async fn left<D: Databases>(
        &mut self,
        world: &World,
        fleet: &Fleet,
        databases: &D,
    ) -> Vec<Violation>;
}

/// Nothing is lost: all is read, all is said, and nobody waits for a person.
pub(crate) struct Whole;

impl Expectation for Whole {
    fn look(&mut self, _world: &World, fleet: &Fleet) -> Result<(), Violation> {
        healthy(fleet)
    }

    async fn left<D: Databases>(
        &mut self,
        world: &World,
        _fleet: &Fleet,
        databases: &D,
    ) -> Vec<Violation> {
        end::left(world, databases, |_, _| true).await
    }
}

/// Waits until nothing is left to do, for as long as that may take.
pub(crate) async fn settle<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    databases: &Arc<D>,
    expectation: &mut impl Expectation,
) -> Result<Rows, Violation> {
    let until = Instant::now() + SETTLE_MAX;
    loop {
        expectation.look(world, fleet)?;
        // A zombie may wake up and publish again what it still has, at any of these awaits.
        let ends = world.ends();
        let left = expectation.left(world, fleet, &**databases).await;
        if left.is_empty() {
            let rows = databases.rows().await.map_err(fatal)?;
            if world.ends() == ends {
                return Ok(rows);
            }
        }
        if let Some(first) = left.first().filter(|_| Instant::now() > until) {
            return Err(Violation {
                invariant: first.invariant,
                detail: format!("{SETTLE_MAX:?} after the faults: {left:?}"),
            });
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn fatal(error: store::Error) -> Violation {
    Violation {
        invariant: "F3",
        detail: error.to_string(),
    }
}

/// Nothing has happened that only a person could put right.
fn healthy(fleet: &Fleet) -> Result<(), Violation> {
    let refusals = fleet.told.refusals();
    let unexpected = |(_, error): &&(_, Error)| !expected(error);
    if let Some((who, error)) = refusals.iter().find(unexpected) {
        return Err(Violation {
            invariant: "availability",
            detail: format!("{} refuses to run: {error}", who.name),
        });
    }
    match fleet.told.stopped().first() {
        Some(stopped) => Err(Violation {
            invariant: "availability",
            detail: format!("{stopped}, and nothing was lost"),
        }),
        None => Ok(()),
    }
}

/// Whether the weather explains why a program has ended: the registry refused its schemas.
pub(crate) fn expected(error: &Error) -> bool {
    matches!(error, Error::Registry(error) if error.kind == ErrorKind::Incompatible)
}

/// F7: recovery changes nothing, however often.
async fn recover_again<D: Databases>(
    world: &Arc<World>,
    fleet: &Fleet,
    databases: &Arc<D>,
    recoveries: u32,
    rows: &Rows,
) -> Result<(), Violation> {
    let ends = world.ends();
    for _ in 0..recoveries {
        crash_all(fleet).await;
        let again = settle(world, fleet, databases, &mut Whole).await?;
        if again != *rows || world.ends() != ends {
            return Err(Violation {
                invariant: "F7",
                detail: "recovery at rest has changed something".to_owned(),
            });
        }
    }
    Ok(())
}

/// Crashes every program at rest; waits until every shard that can have one has a new owner.
pub(crate) async fn crash_all(fleet: &Fleet) {
    for process in fleet.processes() {
        process.crash(AT_REST);
    }
    tokio::time::sleep(LEASE_TIME * 2).await;
}
