//! The channel to the gateway, and what its errors mean to a caller.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use clap::Args;
use contracts::client::{Bearer, Channel};
use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use messaging::status::code_name;
use messaging::tls::{advice, advice_on_connecting};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::tls::{FLAGS, TlsArgs};
use crate::token::TokenArgs;

/// How long a connection to the gateway may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a call may take unless the caller says otherwise.
const CALL_SECONDS: u64 = 10;

/// What every client command takes.
#[derive(Args, Clone, Debug)]
pub struct ClientArgs {
    /// URL of the gateway.
    #[arg(
        long,
        env = "SHOP_GATEWAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8900"
    )]
    pub gateway: String,

    /// Tables for people, or JSON for programs: one object per line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,

    /// How long a call may take, in seconds; with --wait, how long to wait [default: 10; watch:
    /// until the end].
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=30)
    )]
    pub timeout: Option<u64>,

    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Who calls.
    #[command(flatten)]
    pub token: TokenArgs,
}

impl ClientArgs {
    /// Connects to the gateway.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(&self) -> Result<Client, Failure> {
        let bearer = self.token.bearer()?;
        Client::connect(&self.gateway, &self.tls, self.call_timeout(), bearer).await
    }

    /// How long a call may take.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(CALL_SECONDS))
    }
}

/// A connection to the gateway.
#[derive(Clone, Debug)]
pub struct Client {
    /// Orders.
    pub orders: OrderServiceClient<Channel>,
    /// Stock.
    pub inventory: InventoryServiceClient<Channel>,
    timeout: Duration,
}

impl Client {
    /// Connects to `gateway` as `bearer`; every call made with [`Client::request`] may take `timeout`.
    ///
    /// # Errors
    /// [`Exit::Usage`] when `gateway` is no URL or `tls` cannot be used, [`Exit::Unreachable`] when
    /// nothing answers there, or nothing that is believed.
    pub async fn connect(
        gateway: &str,
        tls: &TlsArgs,
        timeout: Duration,
        bearer: Bearer,
    ) -> Result<Self, Failure> {
        let channel = channel("gateway", gateway, tls, bearer).await?;
        Ok(Self {
            orders: OrderServiceClient::new(channel.clone()),
            inventory: InventoryServiceClient::new(channel),
            timeout,
        })
    }

    /// A request with this client's deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// Connects to the `part` of the store that the flag of that name puts at `url`, as `bearer`.
///
/// # Errors
/// [`Exit::Usage`] when `url` is no URL or `tls` cannot be used, [`Exit::Unreachable`] when nothing
/// answers there, or nothing that is believed.
pub async fn channel(
    part: &str,
    url: &str,
    tls: &TlsArgs,
    bearer: Bearer,
) -> Result<Channel, Failure> {
    let no_url = |why: &dyn Display| {
        let message = format!("--{part} {url}: {why}; write http://HOST:PORT or https://HOST:PORT");
        Failure::new(Exit::Usage, message)
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| no_url(&error))?;
    if endpoint.uri().scheme().is_none() {
        return Err(no_url(&"no URL"));
    }
    let endpoint = endpoint.connect_timeout(CONNECT_MAX);
    let secured = tls.files().client_for(url);
    let secured = secured.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let connected = match secured {
        Some(client) => {
            let probe = client.probe(endpoint.uri().clone());
            match tokio::time::timeout(CONNECT_MAX, probe).await {
                Ok(Err(error)) => Err(advice_on_connecting(&*error, FLAGS)),
                Ok(Ok(())) | Err(_) => {
                    let connected = endpoint.connect_with_connector(client.connector()).await;
                    connected.map_err(|error| advice_on_connecting(&error, FLAGS))
                }
            }
        }
        None => endpoint.connect().await.map_err(|_| None),
    };
    let channel = connected.map_err(|advice| {
        let message = match advice {
            Some(why) => format!("the {part} at {url}: {why}"),
            None => {
                format!("no {part} answers at {url}; start one with shop up, or give --{part} URL")
            }
        };
        Failure::new(Exit::Unreachable, message)
    })?;
    Ok(bearer.over(channel))
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::new(exit_of(&status), describe(&status))
    }
}

/// Refusals are final; what may pass, or never reached the store, is told apart from them.
fn exit_of(status: &Status) -> Exit {
    match status.code() {
        // tonic's client reports its own deadline as CANCELLED, a broken connection as UNKNOWN.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            Exit::Unreachable
        }
        // It has not come as far as the store.
        _ if advice(status, FLAGS).is_some() => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

/// The status as people read it: its code, its sentence, then each detail on a line.
#[must_use]
pub fn describe(status: &Status) -> String {
    let mut text = format!("{}: {}", code_name(status.code()), status.message());
    let details = status.get_error_details();
    // Writing to a String cannot fail.
    if let Some(invalid) = details.bad_request() {
        for violation in &invalid.field_violations {
            let _ = write!(text, "\n  {}: {}", violation.field, violation.description);
        }
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        let _ = write!(text, "\n  try again in {} s", delay.as_secs_f64());
    }
    let is_cut_off = status.message().contains("operation was canceled");
    if let Some(why) = advice(status, FLAGS).or_else(|| is_cut_off.then(cut_off)) {
        let _ = write!(text, "\n  {why}");
    }
    text
}

/// What a call says whose connection had gone before it, as one without TLS to a server with TLS
/// does unless the call is quicker than the server's refusal.
fn cut_off() -> String {
    "its connection was closed before the call went out: if the server speaks TLS, write https://"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use messaging::status::{Violation, invalid, unavailable};

    use super::*;

    #[test]
    fn every_violation_stands_on_its_own_line() {
        let violation = |field: &str| Violation {
            field: field.to_owned(),
            description: "must be set".to_owned(),
        };
        let failure = Failure::from(invalid([
            violation("order.currency"),
            violation("order.lines[2].quantity"),
        ]));
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(
            failure.message,
            "INVALID_ARGUMENT: invalid: order.currency, order.lines[2].quantity\n  \
             order.currency: must be set\n  order.lines[2].quantity: must be set"
        );
    }

    #[test]
    fn what_may_pass_says_when_to_try_again() {
        let failure = Failure::from(unavailable("the log cannot be reached"));
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(
            failure.message,
            "UNAVAILABLE: the log cannot be reached\n  try again in 1 s"
        );
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_unreachable() {
        let free = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
        let nobody = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let connect = async |url| {
            let tls = TlsArgs::default();
            Client::connect(url, &tls, Duration::from_secs(1), Bearer::default()).await
        };
        let failure = connect(&nobody).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        for no_url in ["not a url", "127.0.0.1:8900", "nonsense"] {
            let failure = connect(no_url).await.unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{no_url}");
        }
    }
}
