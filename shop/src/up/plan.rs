//! What will run where: the flags of `shop up`, checked, before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use gateway::rate::RateArgs;
use messaging::config::access::AccessArgs;
use messaging::config::tls::ServerTlsArgs;
use messaging::config::{AuthArgs, LogArgs, RegistryArgs, StoreLocation, TraceArgs};

use super::Args;
use super::address::Address;
use super::elsewhere::ElsewhereArgs;
use super::part::Part;
use super::tls::TlsDir;

/// Where the store keeps its data unless told otherwise.
pub(crate) const DATA_DIR: &str = "data";
/// Where a process with several parts serves metrics and readiness unless told otherwise.
const HTTP_PORT: u16 = 9100;

/// What runs in this process, and where everything is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The parts that run here.
    pub here: BTreeSet<Part>,
    /// Where each part listens, or is expected when it runs elsewhere and nothing names it.
    pub addresses: BTreeMap<Part, Address>,
    /// Where metrics and readiness are served.
    pub http: Address,
    /// The directory of `log/`, `registry/`, `order.db` and `inventory.db`.
    pub data_dir: PathBuf,
    /// Partitions of every topic.
    pub partitions: i32,
    /// How long an order without a deadline of its own may wait.
    pub reserve_within: Option<Duration>,
    /// What other programs keep.
    pub elsewhere: ElsewhereArgs,
    /// The certificates, if the gateway and the services speak TLS.
    pub tls: Option<TlsDir>,
    /// Who may call.
    pub auth: AuthArgs,
    /// How often each customer may.
    pub rate: RateArgs,
    /// Traces.
    pub trace: TraceArgs,
}

/// Flags that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `--without` leaves nothing.
    #[error("--without leaves out every part")]
    Nothing,
    /// A part elsewhere cannot be found at port 0.
    #[error("{part} runs elsewhere and {by} needs it: {flag} must name its port")]
    PortOfAbsentPart {
        /// The part that runs elsewhere.
        part: Part,
        /// A part that runs here and calls it.
        by: Part,
        /// The flag with its address.
        flag: &'static str,
    },
    /// A part cannot run here and elsewhere.
    #[error("{flag} says that the {part} runs elsewhere; leave {part} out of --only, or the flag")]
    HereAndElsewhere {
        /// The part.
        part: Part,
        /// The flag that names where else.
        flag: &'static str,
    },
    /// The log of this process has no use for a flag.
    #[error("{0} is for a log that runs elsewhere: name its brokers by --log")]
    ForAnotherLog(&'static str),
    /// The registry of this process has no use for a flag.
    #[error("{0} is for a registry that runs elsewhere: name it by --registry")]
    ForAnotherRegistry(&'static str),
}

impl Plan {
    /// The plan that the flags make.
    ///
    /// # Errors
    /// When they do not go together.
    pub fn new(args: &Args) -> Result<Self, Error> {
        let here: BTreeSet<Part> = if args.only.is_empty() {
            let runs_here =
                |part: &Part| !args.without.contains(part) && args.elsewhere.names(*part).is_none();
            Part::ALL.into_iter().filter(runs_here).collect()
        } else {
            args.only.iter().copied().collect()
        };
        let addresses = Part::ALL.map(|part| {
            let given = args.listen(part).cloned();
            (part, given.unwrap_or_else(|| part.default_address()))
        });
        let default_http = || match here.iter().collect::<Vec<_>>()[..] {
            [part] => part.default_http(),
            _ => Address::local(HTTP_PORT),
        };
        let plan = Self {
            addresses: BTreeMap::from(addresses),
            http: args.listen_http.clone().unwrap_or_else(default_http),
            data_dir: args.data_dir.clone().unwrap_or_else(|| DATA_DIR.into()),
            partitions: args.partitions,
            reserve_within: args.reserve_within,
            elsewhere: args.elsewhere.clone(),
            tls: args.tls_dir.clone().map(TlsDir),
            auth: args.auth.clone(),
            rate: args.rate,
            trace: args.trace.clone(),
            here,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Error> {
        if self.here.is_empty() {
            return Err(Error::Nothing);
        }
        for &by in &self.here {
            if let Some(flag) = self.elsewhere.names(by) {
                return Err(Error::HereAndElsewhere { part: by, flag });
            }
            for &part in by.needs() {
                let is_named = self.here.contains(&part) || self.elsewhere.names(part).is_some();
                if !is_named && self.addresses[&part].port() == 0 {
                    let flag = part.flag();
                    return Err(Error::PortOfAbsentPart { part, by, flag });
                }
            }
        }
        if let Some(flag) = self.elsewhere.for_another_registry()
            && self.here.contains(&Part::Registry)
        {
            return Err(Error::ForAnotherRegistry(flag));
        }
        match self.elsewhere.for_another_log() {
            Some(flag) if self.here.contains(&Part::Log) => Err(Error::ForAnotherLog(flag)),
            _ => Ok(()),
        }
    }

    /// Where `part` is, as the flags of those who call it take it.
    #[must_use]
    pub fn endpoint(&self, part: Part) -> String {
        match part {
            Part::Log => self.brokers().join(","),
            Part::Registry => {
                let registry = self.elsewhere.registry.clone();
                registry.unwrap_or_else(|| self.url(part))
            }
            Part::Gateway | Part::Order | Part::Inventory => self.url(part),
        }
    }

    fn url(&self, part: Part) -> String {
        let scheme = match part {
            Part::Log | Part::Registry => "http",
            Part::Gateway | Part::Order | Part::Inventory if self.tls.is_none() => "http",
            Part::Gateway | Part::Order | Part::Inventory => "https",
        };
        format!("{scheme}://{}", self.addresses[&part])
    }

    fn brokers(&self) -> Vec<String> {
        if self.elsewhere.log.is_empty() {
            return vec![self.addresses[&Part::Log].to_string()];
        }
        self.elsewhere.log.clone()
    }

    /// The log, as the services and the gateway take it.
    pub(super) fn log_args(&self) -> LogArgs {
        let is_here = self.here.contains(&Part::Log);
        LogArgs {
            log: self.brokers(),
            partitions: self.partitions,
            replication_factor: self.elsewhere.replication_factor,
            access: match is_here {
                true => AccessArgs::default(),
                false => self.elsewhere.access.clone(),
            },
        }
    }

    /// The registry, as the services and the gateway take it.
    pub(super) fn registry_args(&self) -> RegistryArgs {
        RegistryArgs {
            registry: self.endpoint(Part::Registry),
            register_schemas: true,
            access: self.elsewhere.registry_access.clone(),
        }
    }

    /// How `part` serves.
    pub(super) fn server_tls(&self, part: Part) -> ServerTlsArgs {
        let tls = self.tls.as_ref();
        tls.map(|dir| dir.server(part)).unwrap_or_default()
    }

    /// The database of a service.
    pub(super) fn store(&self, part: Part) -> StoreLocation {
        match self.elsewhere.store(part) {
            Some((_, store)) => store.clone(),
            None => StoreLocation::Sqlite(self.data_dir.join(format!("{part}.db"))),
        }
    }

    /// Whether anything here is kept in the data directory.
    pub(super) fn uses_data_dir(&self) -> bool {
        let in_it = |part: &Part| match part {
            Part::Log | Part::Registry => true,
            Part::Order | Part::Inventory => self.elsewhere.store(*part).is_none(),
            Part::Gateway => false,
        };
        self.here.iter().any(in_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(&mut Args)) -> Result<Plan, Error> {
        let mut args = Args::default();
        change(&mut args);
        Plan::new(&args)
    }

    #[test]
    fn without_flags_everything_runs_at_the_documented_places() {
        let plan = plan(|_| {}).unwrap();
        assert_eq!(plan.here, Part::ALL.into_iter().collect());
        let places: Vec<_> = plan
            .addresses
            .iter()
            .map(|(part, address)| format!("{part} {address}"))
            .collect();
        assert_eq!(
            places,
            [
                "gateway 127.0.0.1:8900",
                "order 127.0.0.1:8902",
                "inventory 127.0.0.1:8901",
                "log 127.0.0.1:9092",
                "registry 127.0.0.1:8081",
            ]
        );
        assert_eq!(plan.http.to_string(), "127.0.0.1:9100");
        assert_eq!(plan.data_dir, PathBuf::from("data"));
        assert_eq!(plan.partitions, 4);
    }

    #[test]
    fn a_single_part_runs_beside_the_others() {
        let others = plan(|args| args.without = vec![Part::Inventory]).unwrap();
        let single = plan(|args| args.only = vec![Part::Inventory]).unwrap();
        assert!(others.here.is_disjoint(&single.here));
        assert_eq!(others.addresses, single.addresses);
        assert_ne!(others.http, single.http);
    }

    #[test]
    fn a_part_elsewhere_must_have_a_port() {
        let error = plan(|args| {
            args.without = vec![Part::Log];
            args.listen_log = Some(Address::local(0));
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "log runs elsewhere and gateway needs it: --listen-log must name its port"
        );
        plan(|args| {
            args.only = vec![Part::Log];
            args.listen_gateway = Some(Address::local(0));
        })
        .unwrap();
    }

    #[test]
    fn nothing_is_no_plan() {
        let error = plan(|args| args.without = Part::ALL.to_vec());
        assert_eq!(error.unwrap_err(), Error::Nothing);
    }

    #[test]
    fn a_log_and_a_registry_that_are_named_do_not_run_here() {
        let brokers = || vec!["a:1".to_owned(), "b:2".to_owned()];
        let elsewhere = plan(|args| {
            args.elsewhere.log = brokers();
            args.elsewhere.registry = Some("http://c:3".to_owned());
            args.elsewhere.access.log_tls = true;
            args.listen_log = Some(Address::local(0));
        });
        let elsewhere = elsewhere.unwrap();
        let here: Vec<_> = elsewhere.here.iter().map(|part| part.name()).collect();
        assert_eq!(here, ["gateway", "order", "inventory"]);
        assert_eq!(elsewhere.log_args().log, brokers());
        assert!(elsewhere.log_args().access.log_tls);
        assert_eq!(elsewhere.endpoint(Part::Registry), "http://c:3");

        let error = plan(|args| {
            args.elsewhere.log = brokers();
            args.only = vec![Part::Log, Part::Order];
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "--log says that the log runs elsewhere; leave log out of --only, or the flag"
        );
    }

    #[test]
    fn the_own_log_has_no_door() {
        let error = plan(|args| args.elsewhere.access.log_tls = true);
        assert_eq!(error.unwrap_err(), Error::ForAnotherLog("--log-tls"));
        let error = plan(|args| args.elsewhere.replication_factor = Some(3));
        let flag = "--replication-factor";
        assert_eq!(error.unwrap_err(), Error::ForAnotherLog(flag));
    }

    #[test]
    fn databases_are_files_in_the_data_directory_or_what_is_named() {
        let named = |args: &mut Args| {
            args.only = vec![Part::Order];
            args.elsewhere.store_order = Some("postgres://ada:s3cret@db/order".parse().unwrap());
        };
        let plan = plan(named).unwrap();
        let order = plan.store(Part::Order).to_string();
        assert_eq!(order, "postgres://ada@db:5432/order");
        let inventory = plan.store(Part::Inventory).to_string();
        assert_eq!(inventory, "sqlite:data/inventory.db");
        assert!(!plan.uses_data_dir());
        assert!(!format!("{plan:?}").contains("s3cret"));
    }
}
