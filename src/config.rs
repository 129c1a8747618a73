//! Settings that the services share: groups of flags to flatten into a service's own `Args`.
//!
//! Every flag has an environment variable with the prefix `SHOP_`. Flags whose default differs
//! from service to service (`--listen`, `--listen-http`, `--store`) stand in the service's `Args`.

pub mod access;
pub mod auth;
mod duration;
pub mod password;
mod refusal;
pub mod registry;
pub mod tls;
mod trace;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args};

use self::access::AccessArgs;
pub use self::auth::AuthArgs;
pub use self::duration::duration;
pub use self::refusal::Refusal;
use self::registry::RegistryAccessArgs;
pub use self::trace::TraceArgs;
use crate::log::kafka::{self, KafkaLog};
use crate::message::Binding;
use crate::registry::access::Access;
use crate::store::postgres::Location;
use crate::telemetry::LogFormat;

/// Where the log is, and how its topics are cut.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Brokers of the log (Kafka protocol), as host:port, separated by commas.
    #[arg(
        long,
        env = "SHOP_LOG",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092"
    )]
    pub log: Vec<String>,

    /// Partitions of every topic. Stored by each service on its first start, and never changed.
    #[arg(
        long,
        env = "SHOP_PARTITIONS",
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(i32).range(1..=1024)
    )]
    pub partitions: i32,

    /// Replicas of every topic that this service creates; it waits for as many brokers [default: 3,
    /// or as many as there are brokers].
    #[arg(
        long,
        env = "SHOP_REPLICATION_FACTOR",
        value_name = "N",
        value_parser = clap::value_parser!(i16).range(1..)
    )]
    pub replication_factor: Option<i16>,

    /// How to get in.
    #[command(flatten)]
    pub access: AccessArgs,
}

impl LogArgs {
    /// A client of the log that tells brokers its name. It connects with its first call.
    ///
    /// # Errors
    /// When the flags do not say how to get in.
    pub fn client(&self, client_id: &str) -> Result<KafkaLog, access::Error> {
        let config = kafka::Config {
            bootstrap: self.log.clone(),
            client_id: client_id.to_owned(),
        };
        let log = KafkaLog::secured(config, self.access.security()?);
        Ok(log.with_replicas(self.replication_factor))
    }
}

/// Where the schema registry is.
#[derive(Args, Clone, Debug)]
pub struct RegistryArgs {
    /// URL of the schema registry (Confluent REST API).
    #[arg(
        long,
        env = "SHOP_REGISTRY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    pub registry: String,

    /// Whether schemas that the registry lacks are registered at start; with false a service
    /// that finds one missing refuses to start.
    #[arg(
        long,
        env = "SHOP_REGISTER_SCHEMAS",
        value_name = "BOOL",
        action = ArgAction::Set,
        default_value_t = true
    )]
    pub register_schemas: bool,

    /// How to get in.
    #[command(flatten)]
    pub access: RegistryAccessArgs,
}

impl RegistryArgs {
    /// How to get into the registry, with the secrets read.
    ///
    /// # Errors
    /// When the flags do not say how.
    pub fn access(&self) -> Result<Access, registry::Error> {
        self.access.access(&self.registry)
    }

    /// What to do about schemas that the registry lacks.
    #[must_use]
    pub fn binding(&self) -> Binding {
        if self.register_schemas {
            Binding::Register
        } else {
            Binding::Lookup
        }
    }
}

/// What the process tells about itself.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// Shape of the log lines on stderr; RUST_LOG filters them.
    #[arg(
        long,
        env = "SHOP_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t = LogFormat::Text
    )]
    pub log_format: LogFormat,
}

/// A service's database, as `--store` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    Postgres(Location),
}

/// The value of `--store` names no database that this program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no kind of database; write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE"
)]
pub struct UnknownStore(String);

impl FromStr for StoreLocation {
    type Err = UnknownStore;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "sqlite" if !rest.is_empty() => Ok(Self::Sqlite(rest.into())),
            // What is wrong with it is said when it is opened, without the password in it.
            "postgres" | "postgresql" => Ok(Self::Postgres(Location::new(text))),
            _ => Err(UnknownStore(kind.to_owned())),
        }
    }
}

impl std::fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(location) => location.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        registry: RegistryArgs,
        #[command(flatten)]
        telemetry: TelemetryArgs,
        #[arg(long, default_value = "sqlite:data/order.db")]
        store: StoreLocation,
    }

    #[test]
    fn flags_are_read() {
        let program = Program::parse_from([
            "program",
            "--log",
            "a:1,b:2",
            "--registry",
            "http://c:3",
            "--register-schemas",
            "false",
            "--partitions",
            "8",
            "--replication-factor",
            "2",
            "--log-format",
            "json",
        ]);
        assert_eq!(program.log.log, ["a:1", "b:2"]);
        assert_eq!(program.log.partitions, 8);
        assert_eq!(program.log.replication_factor, Some(2));
        assert_eq!(program.registry.registry, "http://c:3");
        assert_eq!(program.registry.binding(), Binding::Lookup);
        assert_eq!(program.telemetry.log_format, LogFormat::Json);
        assert_eq!(program.store, StoreLocation::Sqlite("data/order.db".into()));
    }

    #[test]
    fn a_store_in_postgres_is_named_without_its_password() {
        let arguments = ["program", "--store", "postgres://ada:s3cret@db:5433/order"];
        let store = Program::parse_from(arguments).store;
        assert_eq!(store.to_string(), "postgres://ada@db:5433/order");
        assert!(!format!("{store:?}").contains("s3cret"));
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            ["program", "--partitions", "0"],
            ["program", "--replication-factor", "0"],
            ["program", "--store", "mysql:x"],
            ["program", "--store", "sqlite:"],
        ] {
            assert!(Program::try_parse_from(arguments).is_err(), "{arguments:?}");
        }
    }
}
