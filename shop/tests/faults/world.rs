//! The whole store as processes, with a breakable way between any two that speak to each other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::disk::Disk;
use crate::proxy::{Condition, Link};
use crate::real::PARTITIONS;
use crate::real::backstage::{Backstage, Location};
use crate::real::port::Port;
use crate::real::process::{Group, Process, Role};
use crate::support::Elsewhere;

/// The parts whose data lie on the small disk, if there is one.
const ON_SMALL_DISK: [Role; 2] = [Role::Log, Role::Inventory];

/// From whom (a client of the store, or a part) to which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    pub(crate) from: Option<Role>,
    pub(crate) to: Role,
}

impl Way {
    /// Every way.
    pub(crate) const ALL: [Self; 9] = [
        Self::new(Some(Role::Order), Role::Log),
        Self::new(Some(Role::Inventory), Role::Log),
        Self::new(Some(Role::Gateway), Role::Log),
        Self::new(Some(Role::Order), Role::Registry),
        Self::new(Some(Role::Inventory), Role::Registry),
        Self::new(Some(Role::Gateway), Role::Registry),
        Self::new(Some(Role::Gateway), Role::Order),
        Self::new(Some(Role::Gateway), Role::Inventory),
        Self::CLIENT,
    ];
    /// From the clients.
    pub(crate) const CLIENT: Self = Self::new(None, Role::Gateway);

    const fn new(from: Option<Role>, to: Role) -> Self {
        Self { from, to }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.map_or("client", Role::name);
        write!(f, "{from} > {}", self.to.name())
    }
}

/// The store. Dropping it ends every process and removes every file.
#[derive(Debug)]
pub(crate) struct World {
    // In the order in which they must go.
    processes: BTreeMap<Role, Mutex<Process>>,
    ways: BTreeMap<Way, Mutex<Link>>,
    ports: BTreeMap<Role, Port>,
    _group: Group,
    disk: Option<Mutex<Disk>>,
    /// Why there is no small disk although one was asked for.
    pub(crate) no_disk: Option<String>,
    folder: TempDir,
}

impl World {
    /// Lays everything out; nothing runs yet.
    pub(crate) fn new(small_disk: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("faults-")
            .tempdir()
            .unwrap();
        let group = Group::new(folder.path());
        let mounted = small_disk.then(|| Disk::mount(&folder.path().join("small")));
        let (disk, no_disk) = match mounted {
            None => (None, None),
            Some(Ok(disk)) => (Some(disk), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let ports: BTreeMap<_, _> = Role::ALL.map(|role| (role, Port::reserve())).into();
        let ways: BTreeMap<_, _> = Way::ALL
            .map(|way| {
                (
                    way,
                    Link::open(ports[&way.to].address(), way.to == Role::Log),
                )
            })
            .into();
        let processes = Role::ALL.map(|role| {
            let data = data_dir(folder.path(), disk.as_ref(), role);
            let arguments = arguments(role, &data, &ports, &ways);
            let name = (role, role.name());
            let nothing = Elsewhere::default();
            let process = Process::new(name, arguments, nothing, folder.path(), &group);
            (role, Mutex::new(process))
        });
        Self {
            processes: processes.into(),
            ways: ways
                .into_iter()
                .map(|(way, link)| (way, Mutex::new(link)))
                .collect(),
            ports,
            _group: group,
            disk: disk.map(Mutex::new),
            no_disk,
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

    /// Stops everything, callers before those they call.
    pub(crate) async fn stop(&self) {
        for role in Role::ALL.into_iter().rev() {
            self.process(role).lock().await.stop().await;
        }
    }

    /// Makes every way clear.
    pub(crate) async fn heal(&self) {
        for link in self.ways.values() {
            link.lock().await.set(Condition::Clear);
        }
    }

    pub(crate) fn process(&self, role: Role) -> &Mutex<Process> {
        &self.processes[&role]
    }

    pub(crate) fn link(&self, way: Way) -> &Mutex<Link> {
        &self.ways[&way]
    }

    pub(crate) fn disk(&self) -> Option<&Mutex<Disk>> {
        self.disk.as_ref()
    }

    /// Where what outlives the processes really is.
    pub(crate) async fn backstage(&self) -> Backstage {
        Backstage {
            brokers: vec![self.ports[&Role::Log].address().to_string()],
            registry: format!("http://{}", self.ports[&Role::Registry].address()),
            order: Location::File(self.database(Role::Order).await),
            inventory: Location::File(self.database(Role::Inventory).await),
        }
    }

    /// Where the clients call.
    pub(crate) async fn gateway(&self) -> String {
        format!("http://{}", self.link(Way::CLIENT).lock().await.address())
    }

    /// The database of a service.
    pub(crate) async fn database(&self, role: Role) -> PathBuf {
        let disk = match &self.disk {
            None => None,
            Some(disk) => Some(disk.lock().await),
        };
        data_dir(self.folder.path(), disk.as_deref(), role).join(format!("{}.db", role.name()))
    }
}

fn data_dir(folder: &Path, disk: Option<&Disk>, role: Role) -> PathBuf {
    match disk {
        Some(disk) if ON_SMALL_DISK.contains(&role) => disk.folder().join(role.name()),
        _ => folder.join(role.name()),
    }
}

/// The flags of `shop up` for one part: where it listens, and the ways to what it calls.
fn arguments(
    role: Role,
    data: &Path,
    ports: &BTreeMap<Role, Port>,
    ways: &BTreeMap<Way, Link>,
) -> Vec<String> {
    let mut arguments = vec![
        "--data-dir".to_owned(),
        data.display().to_string(),
        "--partitions".to_owned(),
        PARTITIONS.to_string(),
        "--listen-http".to_owned(),
        "127.0.0.1:0".to_owned(),
    ];
    let mut listen = |part: Role, address: SocketAddr| {
        arguments.push(format!("--listen-{}", part.name()));
        arguments.push(address.to_string());
    };
    listen(role, ports[&role].address());
    for (way, link) in ways {
        if way.from == Some(role) {
            listen(way.to, link.address());
        }
    }
    arguments
}
