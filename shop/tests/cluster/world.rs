//! Several instances of each service on PostgreSQL and Apache Kafka.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::place::Place;
use crate::real::PARTITIONS;
use crate::real::backstage::{Backstage, Location};
use crate::real::port::Port;
use crate::real::process::{Group, Process, Role};
use crate::support::{self, Elsewhere};

/// One of several instances of a part; numbers begin with 1.
pub(crate) type Name = (Role, usize);

/// Instances of a service, unless it is said otherwise: two, and a third that comes later.
const INSTANCES: usize = 3;
/// Gateways side by side: the first one asks the first instances, the second one the second.
pub(crate) const GATEWAYS: usize = 2;

/// The store. Dropping it ends every process and removes every file and database.
pub(crate) struct World {
    // In the order in which they must go.
    processes: BTreeMap<Name, Mutex<Process>>,
    ports: BTreeMap<Name, Ports>,
    _group: Group,
    place: Place,
    folder: TempDir,
}

/// Where an instance listens.
struct Ports {
    part: Port,
    http: Port,
}

impl World {
    /// Lays everything out; nothing runs yet.
    pub(crate) fn new() -> Self {
        Self::of_size(INSTANCES, PARTITIONS)
    }

    /// As [`World::new`], with so many instances of each service and partitions of each topic.
    pub(crate) fn of_size(instances: usize, partitions: i32) -> Self {
        let place = Place::servers();
        let prefix = tempfile::Builder::new().prefix("cluster-").tempdir();
        let folder = prefix.unwrap();
        let group = Group::new(folder.path());
        let mut names = vec![(Role::Registry, 1)];
        for number in 1..=instances {
            names.extend([(Role::Order, number), (Role::Inventory, number)]);
        }
        names.extend((1..=GATEWAYS.min(instances)).map(|number| (Role::Gateway, number)));
        let ports: BTreeMap<_, _> = names
            .iter()
            .map(|&name| {
                let (part, http) = (Port::reserve(), Port::reserve());
                (name, Ports { part, http })
            })
            .collect();
        let process = |&name: &Name| {
            let mut arguments = arguments(name, folder.path(), &ports);
            arguments.extend(["--partitions".to_owned(), partitions.to_string()]);
            let elsewhere = elsewhere(name.0, &place, &ports);
            let label = label(name);
            let process = Process::new(
                (name.0, &label),
                arguments,
                elsewhere,
                folder.path(),
                &group,
            );
            (name, Mutex::new(process))
        };
        Self {
            processes: names.iter().map(process).collect(),
            ports,
            _group: group,
            place,
            folder,
        }
    }

    /// Starts those of `names` that do not run, and waits until they are ready.
    ///
    /// # Errors
    /// With what did not get ready.
    pub(crate) async fn start(&self, names: &[Name]) -> Result<(), String> {
        for &name in names {
            self.process(name).lock().await.start(None);
        }
        for &name in names {
            self.process(name).lock().await.ready().await?;
        }
        Ok(())
    }

    /// Stops those of `names` that run, side by side.
    pub(crate) async fn stop(&self, names: &[Name]) {
        let stopping = names.iter().map(|&name| async move {
            self.process(name).lock().await.stop().await;
        });
        futures::future::join_all(stopping).await;
    }

    /// Every instance, those that are called before their callers.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.processes.keys().copied().collect()
    }

    pub(crate) fn process(&self, name: Name) -> &Mutex<Process> {
        &self.processes[&name]
    }

    /// Where the clients call.
    pub(crate) fn gateways(&self) -> Vec<String> {
        let gateways = self.ports.keys().filter(|name| name.0 == Role::Gateway);
        gateways.map(|&name| self.url(name)).collect()
    }

    fn url(&self, name: Name) -> String {
        format!("http://{}", self.ports[&name].part.address())
    }

    /// What outlives the processes.
    pub(crate) fn backstage(&self) -> Backstage {
        let variable = |name| self.place.elsewhere.get(name).unwrap().to_owned();
        Backstage {
            brokers: variable("SHOP_LOG").split(',').map(str::to_owned).collect(),
            registry: self.url((Role::Registry, 1)),
            order: Location::Server(variable("SHOP_STORE_ORDER")),
            inventory: Location::Server(variable("SHOP_STORE_INVENTORY")),
        }
    }

    /// The sum of a counter of an instance that runs, over all labels.
    pub(crate) async fn counter(&self, name: Name, counter: &'static str) -> f64 {
        let address = self.ports[&name].http.address().to_string();
        let asking = tokio::task::spawn_blocking(move || support::get(&address, "/metrics"));
        let text = asking.await.unwrap();
        text.lines()
            .filter(|line| line.starts_with(counter))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, |sum, value| sum + value)
    }

    /// Where the processes keep their files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// An instance's name in files and reports.
pub(crate) fn label((role, number): Name) -> String {
    format!("{}-{number}", role.name())
}

/// The flags of `shop up` for one instance: where it listens, and where those are that it calls.
fn arguments(name: Name, folder: &Path, ports: &BTreeMap<Name, Ports>) -> Vec<String> {
    let (role, number) = name;
    let mut arguments = vec![
        "--data-dir".to_owned(),
        folder.join(label(name)).display().to_string(),
        "--listen-http".to_owned(),
        ports[&name].http.address().to_string(),
    ];
    let mut listen = |part: Name| {
        arguments.push(format!("--listen-{}", part.0.name()));
        arguments.push(ports[&part].part.address().to_string());
    };
    listen(name);
    if role == Role::Gateway {
        listen((Role::Order, number));
        listen((Role::Inventory, number));
    }
    arguments
}

/// What an instance must know of the servers.
fn elsewhere(role: Role, place: &Place, ports: &BTreeMap<Name, Ports>) -> Elsewhere {
    if role == Role::Registry {
        return Elsewhere::default();
    }
    let mut elsewhere = place.elsewhere.clone();
    let registry = ports[&(Role::Registry, 1)].part.address();
    elsewhere
        .0
        .push(("SHOP_REGISTRY", format!("http://{registry}")));
    elsewhere
}
