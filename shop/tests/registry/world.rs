//! The whole store as processes, and what each says of its health.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::real::PARTITIONS;
use crate::real::backstage::{Backstage, Location};
use crate::real::check::Broken;
use crate::real::port::Port;
use crate::real::process::{Group, Process, Role};
use crate::support::{Elsewhere, Outcome, command, try_get};

/// The parts that use the registry.
pub(crate) const USERS: [Role; 3] = [Role::Order, Role::Inventory, Role::Gateway];
/// How often a health is looked at.
const POLL: Duration = Duration::from_millis(10);

/// The store. Dropping it ends every process and removes every file.
pub(crate) struct World {
    // In the order in which they must go.
    processes: BTreeMap<Role, Mutex<Process>>,
    ports: BTreeMap<Role, Ports>,
    _group: Group,
    folder: TempDir,
}

/// Where a part listens.
struct Ports {
    part: Port,
    http: Port,
}

/// What a part says of its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// What its gRPC health service says.
    pub(crate) serving: bool,
    /// What `/readyz` says of every room that does not run: its name and the reason.
    pub(crate) obstacles: BTreeMap<String, String>,
}

impl Health {
    pub(crate) fn is_ready(&self) -> bool {
        self.serving && self.obstacles.is_empty()
    }

    /// Whether it is not ready because of `room` alone, and the registry is why.
    pub(crate) fn waits_in(&self, room: &str) -> bool {
        let mut obstacles = self.obstacles.iter();
        !self.serving
            && self.obstacles.len() == 1
            && obstacles.all(|(name, why)| name == room && why.starts_with("schema registry: "))
    }
}

impl World {
    /// Lays everything out; nothing runs yet.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("registry-").tempdir();
        let folder = folder.unwrap();
        let group = Group::new(folder.path());
        let ports = Role::ALL.map(|role| {
            let (part, http) = (Port::reserve(), Port::reserve());
            (role, Ports { part, http })
        });
        let ports = BTreeMap::from(ports);
        let processes = Role::ALL.map(|role| {
            let arguments = arguments(role, folder.path(), &ports);
            let name = (role, role.name());
            let nothing = Elsewhere::default();
            let process = Process::new(name, arguments, nothing, folder.path(), &group);
            (role, Mutex::new(process))
        });
        Self {
            processes: processes.into(),
            ports,
            _group: group,
            folder,
        }
    }

    /// Starts what does not run, and waits until everything is ready.
    ///
    /// # Errors
    /// With what did not get ready.
    pub(crate) async fn start(&self) -> Result<(), String> {
        for role in Role::ALL {
            self.process(role).lock().await.start(None);
        }
        for role in Role::ALL {
            self.process(role).lock().await.ready().await?;
        }
        Ok(())
    }

    pub(crate) fn process(&self, role: Role) -> &Mutex<Process> {
        &self.processes[&role]
    }

    pub(crate) fn url(&self, role: Role) -> String {
        format!("http://{}", self.ports[&role].part.address())
    }

    /// What outlives the processes.
    pub(crate) fn backstage(&self) -> Backstage {
        let file = |role: Role| {
            let name = role.name();
            Location::File(self.folder.path().join(name).join(format!("{name}.db")))
        };
        Backstage {
            brokers: vec![self.ports[&Role::Log].part.address().to_string()],
            registry: self.url(Role::Registry),
            order: file(Role::Order),
            inventory: file(Role::Inventory),
        }
    }

    /// Runs an operator's command against this store.
    pub(crate) async fn shop(&self, arguments: &[&str]) -> Outcome {
        let mut command = command(arguments);
        command
            .env("SHOP_GATEWAY", self.url(Role::Gateway))
            .env("SHOP_ORDER", self.url(Role::Order))
            .env("SHOP_INVENTORY", self.url(Role::Inventory))
            .env("SHOP_REGISTRY", self.url(Role::Registry))
            .env(
                "SHOP_LOG",
                self.ports[&Role::Log].part.address().to_string(),
            );
        let running = tokio::task::spawn_blocking(move || command.output());
        Outcome::of(running.await.unwrap().unwrap())
    }

    /// What `role` says of its health now.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn health(&self, role: Role) -> Result<Health, String> {
        Ok(Health {
            serving: self
                .serving(role)
                .await
                .map_err(|status| status.to_string())?,
            obstacles: self
                .obstacles(role)
                .await
                .map_err(|error| error.to_string())?,
        })
    }

    /// Waits until `role` says something of its health; returns how long that took.
    ///
    /// # Errors
    /// With what it says after `limit`.
    pub(crate) async fn says(
        &self,
        role: Role,
        limit: Duration,
        what: impl Fn(&Health) -> bool,
    ) -> Result<Duration, String> {
        let start = Instant::now();
        loop {
            let health = self.health(role).await;
            if health.as_ref().is_ok_and(&what) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                let role = role.name();
                return Err(format!("{role} says after {limit:?}: {health:?}"));
            }
            sleep(POLL).await;
        }
    }

    async fn serving(&self, role: Role) -> Result<bool, tonic::Status> {
        let endpoint = Endpoint::from_shared(self.url(role)).unwrap();
        let mut client = HealthClient::new(endpoint.connect_lazy());
        let answer = client.check(HealthCheckRequest::default()).await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }

    async fn obstacles(&self, role: Role) -> io::Result<BTreeMap<String, String>> {
        let address = self.ports[&role].http.address().to_string();
        let asking = tokio::task::spawn_blocking(move || try_get(&address, "/readyz"));
        let answer = asking.await.unwrap()?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let report: serde_json::Value = serde_json::from_str(body).unwrap();
        let rooms = report["services"][role.name()]["parts"].as_object();
        let obstacles = rooms.unwrap().iter().filter_map(|(room, state)| {
            let why = state["reason"].as_str().unwrap_or("starting").to_owned();
            (state["condition"] != "running").then(|| (room.clone(), why))
        });
        let obstacles: BTreeMap<_, _> = obstacles.collect();
        let is_ok = head.split(' ').nth(1) == Some("200");
        assert!(!is_ok || obstacles.is_empty(), "{answer}");
        Ok(obstacles)
    }

    /// What the processes have done that nobody asked for.
    pub(crate) async fn complaints(&self) -> Broken {
        let mut broken = Broken::new();
        for process in self.processes.values() {
            let mut process = process.lock().await;
            process.look();
            broken.append(&mut process.complaints);
            broken.extend(process.panics());
        }
        broken
    }
}

/// The flags of `shop up` for one part: where it listens, and where those are that it calls.
fn arguments(role: Role, folder: &Path, ports: &BTreeMap<Role, Ports>) -> Vec<String> {
    let mut arguments = vec![
        "--data-dir".to_owned(),
        folder.join(role.name()).display().to_string(),
        "--partitions".to_owned(),
        PARTITIONS.to_string(),
        "--listen-http".to_owned(),
        ports[&role].http.address().to_string(),
    ];
    for (part, ports) in ports {
        arguments.push(format!("--listen-{}", part.name()));
        arguments.push(ports.part.address().to_string());
    }
    arguments
}
