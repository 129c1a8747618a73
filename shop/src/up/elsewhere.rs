//! What of the store is kept by other programs: brokers, a schema registry, database servers.

use messaging::config::StoreLocation;
use messaging::config::access::AccessArgs;
use messaging::config::registry::RegistryAccessArgs;

use super::part::Part;

/// The flags that name what runs elsewhere. A log or a registry that is named here does not run in
/// this process.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ElsewhereArgs {
    /// Brokers of a log that runs elsewhere (Kafka protocol), as host:port, separated by commas.
    #[arg(
        long,
        env = "SHOP_LOG",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        conflicts_with = "listen_log"
    )]
    pub log: Vec<String>,

    /// Replicas of every topic that is created on a log elsewhere [default: 3, or as many as there
    /// are brokers].
    #[arg(
        long,
        env = "SHOP_REPLICATION_FACTOR",
        value_name = "N",
        value_parser = clap::value_parser!(i16).range(1..)
    )]
    pub replication_factor: Option<i16>,

    /// How to get into a log elsewhere.
    #[command(flatten)]
    pub access: AccessArgs,

    /// URL of a schema registry that runs elsewhere (Confluent REST API).
    #[arg(
        long,
        env = "SHOP_REGISTRY",
        value_name = "URL",
        conflicts_with = "listen_registry"
    )]
    pub registry: Option<String>,

    /// How to get into a registry elsewhere.
    #[command(flatten)]
    pub registry_access: RegistryAccessArgs,

    /// Order's database: sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE, which must be
    /// there [default: order.db in the data directory].
    #[arg(
        long,
        env = "SHOP_STORE_ORDER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub store_order: Option<StoreLocation>,

    /// Inventory's database, as --store-order names Order's [default: inventory.db in the data
    /// directory].
    #[arg(
        long,
        env = "SHOP_STORE_INVENTORY",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub store_inventory: Option<StoreLocation>,

    /// Bring the tables of databases on servers up to date first; their users must be allowed to.
    #[arg(long, env = "SHOP_MIGRATE")]
    pub migrate: bool,
}

impl ElsewhereArgs {
    /// The flag that says that `part` runs elsewhere, if it was given.
    pub(super) fn names(&self, part: Part) -> Option<&'static str> {
        match part {
            Part::Log if !self.log.is_empty() => Some("--log"),
            Part::Registry if self.registry.is_some() => Some("--registry"),
            _ => None,
        }
    }

    /// A flag that only a log elsewhere understands, if one was given.
    pub(super) fn for_another_log(&self) -> Option<&'static str> {
        if self.access.log_tls {
            Some("--log-tls")
        } else if self.access.log_sasl.is_some() {
            Some("--log-sasl")
        } else {
            self.replication_factor.map(|_| "--replication-factor")
        }
    }

    /// A flag that only a registry elsewhere understands, if one was given.
    pub(super) fn for_another_registry(&self) -> Option<&'static str> {
        if self.registry_access.registry_ca.is_some() {
            Some("--registry-ca")
        } else {
            let user = self.registry_access.registry_user.as_ref();
            user.map(|_| "--registry-user")
        }
    }

    /// The database of `part` and its flag, if it was named.
    pub(super) fn store(&self, part: Part) -> Option<(&'static str, &StoreLocation)> {
        let (flag, store) = match part {
            Part::Order => ("--store-order", &self.store_order),
            Part::Inventory => ("--store-inventory", &self.store_inventory),
            _ => return None,
        };
        Some((flag, store.as_ref()?))
    }
}
