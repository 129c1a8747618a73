//! `shop probe`: for the health checks of containers, whose images have no other HTTP client.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};

/// How long the answer may take: a program that is well answers at once.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Bytes of an answer: some hundred for each shard.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The flags of `shop probe`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the program serves metrics and readiness (its --listen-http).
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9100")]
    url: String,
}

/// What `/readyz` says.
#[derive(Debug, Deserialize)]
struct Readiness {
    ready: bool,
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    parts: BTreeMap<String, Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    condition: String,
    reason: Option<String>,
}

/// Asks the program, and tells every part that does not run.
pub(super) async fn probe(args: &Args) -> Result<(), Failure> {
    let url = &args.url;
    let uri: Uri = format!("{}/readyz", url.trim_end_matches('/'))
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, format!("{url}: {error}")))?;
    let body = match timeout(ANSWER_MAX, fetch(uri)).await {
        Ok(fetched) => fetched.map_err(|error| {
            Failure::new(Exit::Unreachable, format!("no answer at {url}: {error}"))
        })?,
        Err(_) => {
            let message = format!("no answer at {url} within {ANSWER_MAX:?}");
            return Err(Failure::new(Exit::Unreachable, message));
        }
    };
    let readiness: Readiness = serde_json::from_slice(&body).map_err(|error| {
        Failure::new(
            Exit::Refused,
            format!("{url} is not a program of the store: {error}"),
        )
    })?;
    if readiness.ready {
        println!("ready");
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, readiness.obstacles()))
}

async fn fetch(uri: Uri) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(uri).await?;
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    Ok(body.collect().await?.to_bytes())
}

impl Readiness {
    /// The parts that do not run, each on a line.
    fn obstacles(&self) -> String {
        let mut text = "not ready".to_owned();
        // Writing to a String cannot fail.
        for (name, service) in &self.services {
            if service.parts.is_empty() {
                let _ = write!(text, "\n  {name}: starting");
            }
            for (part, Part { condition, reason }) in &service.parts {
                let _ = match (condition.as_str(), reason) {
                    ("running", _) => Ok(()),
                    (_, Some(reason)) => write!(text, "\n  {name}: {part}: {condition}: {reason}"),
                    (_, None) => write!(text, "\n  {name}: {part}: {condition}"),
                };
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use messaging::health::{Condition, Health};
    use messaging::server;
    use messaging::spawner::{Spawner, TokioSpawner};
    use messaging::telemetry;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn what_is_in_the_way_is_told() {
        let listener = server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let args = Args { url: url.clone() };
        let (order, shutdown) = (Health::new(), CancellationToken::new());
        let services = vec![("order".to_owned(), order.clone())];
        let serving =
            server::serve_http(listener, services, telemetry::metrics(), shutdown.clone());
        let task = TokioSpawner.spawn("http", Box::pin(async { serving.await.unwrap() }));

        let starting = probe(&args).await.unwrap_err();
        assert_eq!(starting.message, "not ready\n  order: starting");
        order.set("shard 0", Condition::Running);
        probe(&args).await.unwrap();
        let reason = "the log is down".to_owned();
        order.set("shard 1", Condition::Stalled { reason });
        let stalled = probe(&args).await.unwrap_err();
        assert_eq!(stalled.exit, Exit::Refused);
        assert_eq!(
            stalled.message,
            "not ready\n  order: shard 1: stalled: the log is down"
        );

        shutdown.cancel();
        task.join().await.unwrap();
        let gone = probe(&args).await.unwrap_err();
        assert_eq!(gone.exit, Exit::Unreachable);
        let url = "no url".to_owned();
        assert_eq!(probe(&Args { url }).await.unwrap_err().exit, Exit::Usage);
    }
}
