//! The running parts: bound, started, watched, stopped in order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use messaging::health::{Condition, Health};
use messaging::spawner::{Spawner, Task, TokioSpawner};
use messaging::{server, telemetry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::error::Error;
use super::launch::{self, Life, Start};
use super::part::Part;
use super::plan::Plan;

/// The server of metrics and readiness, among the parts' names.
const HTTP: &str = "http";
/// In what order parts stop: who calls first, who is called last.
const STOP_ORDER: [&[&str]; 4] = [
    &["gateway"],
    &["order", "inventory"],
    &["registry", "log"],
    &[HTTP],
];
/// How long the parts of one step may take to stop; above the servers' own drain limit.
const STOP_MAX: Duration = Duration::from_secs(15);
/// How long the start may take before it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parts that run in this process. Dropping it ends them without draining.
#[derive(Debug)]
pub struct Store {
    plan: Plan,
    running: Vec<Running>,
    ends: mpsc::Sender<(&'static str, Result<(), Error>)>,
    ended: mpsc::Receiver<(&'static str, Result<(), Error>)>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    health: Health,
    stop: CancellationToken,
    task: Task,
}

impl Store {
    /// Binds every address, then starts the parts of `plan`.
    ///
    /// # Errors
    /// When an address or a part's data cannot be used; nothing runs then.
    pub async fn start(plan: Plan) -> Result<Self, Error> {
        for (dir, &part) in plan
            .tls
            .iter()
            .flat_map(|dir| plan.here.iter().map(move |part| (dir, part)))
        {
            dir.check(part)?;
        }
        let metrics = telemetry::metrics();
        let (listeners, http, plan) = bind(plan)?;
        if plan.uses_data_dir() {
            std::fs::create_dir_all(&plan.data_dir).map_err(|source| Error::File {
                flag: "--data-dir",
                path: plan.data_dir.clone(),
                source,
            })?;
        }
        let (ends, ended) = mpsc::channel(Part::ALL.len() + 1);
        let mut store = Self {
            plan,
            running: Vec::new(),
            ends,
            ended,
        };
        // The log and the registry first: they have recovered before anyone asks them.
        let mut listeners: Vec<_> = listeners.into_iter().collect();
        listeners.sort_by_key(|(part, _)| std::cmp::Reverse(*part));
        let mut topics_due = store.plan.here.contains(&Part::Log);
        for (part, listener) in listeners {
            if topics_due && !matches!(part, Part::Log | Part::Registry) {
                launch::create_topics(&store.plan).await?;
                topics_due = false;
            }
            store.launch(part, listener).await?;
        }
        if topics_due {
            launch::create_topics(&store.plan).await?;
        }
        store.serve_http(http, metrics);
        Ok(store)
    }

    async fn launch(&mut self, part: Part, listener: TcpListener) -> Result<(), Error> {
        let (health, stop) = (Health::new(), CancellationToken::new());
        let start = Start {
            plan: &self.plan,
            listener,
            health: health.clone(),
            stop: stop.clone(),
        };
        let life = launch::launch(part, start).await?;
        self.run(part.name(), health, stop, life);
        Ok(())
    }

    fn serve_http(&mut self, listener: TcpListener, metrics: telemetry::Metrics) {
        let parts = self.running.iter();
        let health = parts
            .map(|running| (running.name.to_owned(), running.health.clone()))
            .collect();
        let stop = CancellationToken::new();
        let serving = server::serve_http(listener, health, metrics, stop.clone());
        let life = async { serving.await.map_err(Error::Bind) }.boxed();
        let own = Health::new();
        own.set("serving", Condition::Running);
        self.run(HTTP, own, stop, life);
    }

    fn run(&mut self, name: &'static str, health: Health, stop: CancellationToken, life: Life) {
        let ends = self.ends.clone();
        let work = async move {
            let end = AssertUnwindSafe(life).catch_unwind().await;
            let end = end.unwrap_or_else(|_| {
                Err(Error::Part {
                    part: name,
                    detail: "panicked; this is a defect: keep the log output".to_owned(),
                })
            });
            // Nobody listens only once the store is gone.
            let _ = ends.send((name, end)).await;
        };
        let task = TokioSpawner.spawn(name, Box::pin(work));
        self.running.push(Running {
            name,
            health,
            stop,
            task,
        });
    }

    /// The plan, with the addresses that were bound.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where `part` is reached, here or elsewhere.
    #[must_use]
    pub fn address(&self, part: Part) -> &Address {
        &self.plan.addresses[&part]
    }

    /// Where `part` is reached, if it runs here.
    #[must_use]
    pub fn here(&self, part: Part) -> Option<&Address> {
        self.plan.here.contains(&part).then(|| self.address(part))
    }

    /// Where metrics and readiness are served.
    #[must_use]
    pub fn http(&self) -> &Address {
        &self.plan.http
    }

    /// Completes when every part here can make progress.
    ///
    /// # Errors
    /// When a part ends instead.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let parts: BTreeMap<_, _> = self
            .running
            .iter()
            .map(|running| (running.name, running.health.clone()))
            .collect();
        let all_ready = async {
            for health in parts.values() {
                health.ready().await;
            }
        };
        tokio::select! {
            biased;
            end = self.ended.recv() => Err(failure(end)),
            () = all_ready => Ok(()),
            never = tell_what_is_waited_for(&parts) => match never {},
        }
    }

    /// Completes when a part ends by itself, with why.
    pub async fn failure(&mut self) -> Error {
        failure(self.ended.recv().await)
    }

    /// Stops the parts, callers before those they call, each after its drain.
    pub async fn stop(mut self) {
        for step in STOP_ORDER {
            let (stopping, rest) = std::mem::take(&mut self.running)
                .into_iter()
                .partition(|running| step.contains(&running.name));
            self.running = rest;
            stop_together(stopping).await;
        }
        while let Ok((part, end)) = self.ended.try_recv() {
            if let Err(error) = end {
                tracing::warn!(part, %error, "ended with an error");
            }
        }
    }
}

async fn stop_together(parts: Vec<Running>) {
    for running in &parts {
        running.stop.cancel();
    }
    for running in parts {
        let name = running.name;
        if tokio::time::timeout(STOP_MAX, running.task.join())
            .await
            .is_err()
        {
            tracing::warn!(part = name, "did not stop in time");
        }
    }
}

fn failure(end: Option<(&'static str, Result<(), Error>)>) -> Error {
    match end {
        Some((_, Err(error))) => error,
        Some((part, Ok(()))) => Error::Part {
            part,
            detail: "ended though nobody asked it to".to_owned(),
        },
        None => Error::Part {
            part: "store",
            detail: "all parts are gone".to_owned(),
        },
    }
}

/// Every [`PATIENCE`], the conditions that keep parts from being ready.
async fn tell_what_is_waited_for(parts: &BTreeMap<&'static str, Health>) -> Infallible {
    let mut told = BTreeMap::new();
    loop {
        tokio::time::sleep(PATIENCE).await;
        for (&part, health) in parts {
            for (room, condition) in health.report() {
                let why = match condition {
                    Condition::Running => continue,
                    Condition::Starting => "starting".to_owned(),
                    Condition::Stalled { reason } | Condition::Stopped { reason } => reason,
                };
                if told.get(&(part, room.clone())) != Some(&why) {
                    tracing::warn!(part, room, why, "waiting");
                    told.insert((part, room), why);
                }
            }
        }
    }
}

type Listeners = BTreeMap<Part, TcpListener>;

/// Binds every address of `plan`, and puts the real ones into it.
fn bind(mut plan: Plan) -> Result<(Listeners, TcpListener, Plan), Error> {
    let mut listeners = Listeners::new();
    for &part in &plan.here {
        let (listener, address) = listen(part.flag(), &plan.addresses[&part])?;
        listeners.insert(part, listener);
        plan.addresses.insert(part, address);
    }
    let (http, address) = listen("--listen-http", &plan.http)?;
    plan.http = address;
    Ok((listeners, http, plan))
}

fn listen(flag: &'static str, address: &Address) -> Result<(TcpListener, Address), Error> {
    let unresolved = |source| Error::Resolve {
        flag,
        address: address.to_string(),
        source,
    };
    let listener = server::bind(flag, address.resolve().map_err(unresolved)?)?;
    let bound = listener.local_addr().map_err(unresolved)?;
    Ok((listener, Address::of(bound)))
}
