//! Where the services, the log and the registry are, for commands that go past the gateway.

use std::fmt;
use std::sync::Arc;

use clap::ValueEnum;
use contracts::client::{Bearer, Channel};
use messaging::config::access::AccessArgs;
use messaging::config::registry::RegistryAccessArgs;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{self, Log};
use messaging::registry::confluent::ConfluentRegistry;
use serde::Serialize;
use tonic::transport::Uri;

use crate::client::channel;
use crate::exit::{Exit, Failure};
use crate::tls::TlsArgs;

/// Where the log listens unless it is told otherwise.
const LOG_PORT: u16 = 9092;
/// Where the registry listens unless it is told otherwise.
const REGISTRY_PORT: u16 = 8081;

/// A service with a database and an operators' API of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Orders.
    Order,
    /// Stock and reservations.
    Inventory,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Order, Self::Inventory];

    /// Its name, which is also its flag's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the services listen (gRPC).
#[derive(clap::Args, Clone, Debug)]
pub struct ServicesArgs {
    /// URL of the order service (gRPC).
    #[arg(
        long,
        env = "SHOP_ORDER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8902"
    )]
    pub order: String,

    /// URL of the inventory service (gRPC).
    #[arg(
        long,
        env = "SHOP_INVENTORY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8901"
    )]
    pub inventory: String,
}

impl ServicesArgs {
    /// Where `service` listens.
    #[must_use]
    pub fn url(&self, service: Service) -> &str {
        match service {
            Service::Order => &self.order,
            Service::Inventory => &self.inventory,
        }
    }

    /// Connects to `service` as `bearer`. The failure of a call becomes a [`Failure`] by `?`.
    ///
    /// # Errors
    /// [`Exit::Usage`] when the flag holds no URL, [`Exit::Unreachable`] when nothing answers there.
    pub async fn connect(
        &self,
        service: Service,
        tls: &TlsArgs,
        bearer: Bearer,
    ) -> Result<Channel, Failure> {
        channel(service.name(), self.url(service), tls, bearer).await
    }
}

/// Where the log and the registry are: beside the gateway, unless they are named.
#[derive(clap::Args, Clone, Debug)]
pub struct LogArgs {
    /// Brokers of the log (Kafka protocol), as host:port, separated by commas [default: port 9092 of
    /// the gateway's host].
    #[arg(
        long,
        env = "SHOP_LOG",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    log: Vec<String>,

    /// URL of the schema registry [default: port 8081 of the gateway's host].
    #[arg(long, env = "SHOP_REGISTRY", value_name = "URL")]
    registry: Option<String>,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    registry_access: RegistryAccessArgs,
}

impl LogArgs {
    /// A client of the log that tells brokers its name, for example `shop-tail`. It connects with
    /// its first call.
    ///
    /// # Errors
    /// [`Exit::Usage`] when the flags do not say how to get in.
    pub fn log(&self, gateway: &str, client_id: &str) -> Result<Arc<dyn Log>, Failure> {
        let config = kafka::Config {
            bootstrap: self.brokers(gateway),
            client_id: client_id.to_owned(),
        };
        let security = self.access.security();
        let security = security.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        Ok(Arc::new(KafkaLog::secured(config, security)))
    }

    /// A client of the registry. It connects with its first call.
    ///
    /// # Errors
    /// [`Exit::Usage`] when the flag holds no URL.
    pub fn registry(&self, gateway: &str) -> Result<ConfluentRegistry, Failure> {
        let url = self.registry_url(gateway);
        let access = self.registry_access.access(&url);
        let access = access.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        ConfluentRegistry::secured(&url, &access)
            .map_err(|error| Failure::new(Exit::Usage, format!("--registry {url}: {error}")))
    }

    /// Where the log's brokers listen, as host:port.
    pub(crate) fn brokers(&self, gateway: &str) -> Vec<String> {
        if self.log.is_empty() {
            return vec![format!("{}:{LOG_PORT}", host(gateway))];
        }
        self.log.clone()
    }

    /// Where the registry listens.
    pub(crate) fn registry_url(&self, gateway: &str) -> String {
        let beside = || format!("http://{}:{REGISTRY_PORT}", host(gateway));
        self.registry.clone().unwrap_or_else(beside)
    }
}

fn host(gateway: &str) -> String {
    let uri: Option<Uri> = gateway.parse().ok();
    let host = uri.as_ref().and_then(Uri::host);
    host.unwrap_or("127.0.0.1").to_owned()
}

/// A failure of the log, as an exit status: unreachable if it may pass, else refused.
#[must_use]
pub fn log_failure(error: &log::Error) -> Failure {
    let exit = match error.kind {
        log::ErrorKind::Retry | log::ErrorKind::Ambiguous => Exit::Unreachable,
        _ => Exit::Refused,
    };
    Failure::new(exit, error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        services: ServicesArgs,
        #[command(flatten)]
        log: LogArgs,
    }

    fn program(flags: &[&str]) -> Program {
        Program::parse_from([&["program"], flags].concat())
    }

    #[test]
    fn log_and_registry_are_expected_beside_the_gateway() {
        let args = program(&[]).log;
        assert_eq!(args.brokers("http://store.test:8900"), ["store.test:9092"]);
        let registry = args.registry_url("http://store.test:8900");
        assert_eq!(registry, "http://store.test:8081");
    }

    #[test]
    fn a_log_or_registry_that_is_named_is_taken() {
        let args = program(&["--log", "a:1,b:2", "--registry", "http://c:3"]).log;
        assert_eq!(args.brokers("http://store.test:8900"), ["a:1", "b:2"]);
        assert_eq!(args.registry_url("http://store.test:8900"), "http://c:3");
    }

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_named_with_its_flag() {
        let free = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
        let nobody = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let services = program(&["--inventory", &nobody, "--order", "nonsense"]).services;
        let tls = TlsArgs::default();
        let connect = async |service| services.connect(service, &tls, Bearer::default()).await;
        let failure = connect(Service::Inventory).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.message.contains("--inventory URL"), "{failure}");
        let failure = connect(Service::Order).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("--order nonsense"), "{failure}");
    }
}
