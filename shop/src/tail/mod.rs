//! `shop tail`: the log's messages, each on a line.

use std::io::{Write, stdout};
use std::sync::Arc;

use contracts::topics;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{self, Log};
use messaging::registry::SchemaRegistry;
use messaging::registry::confluent::ConfluentRegistry;
use tonic::transport::Uri;

use crate::exit::{Exit, Failure};
use crate::output::Format;

mod line;
mod reader;

use line::Line;
use reader::Reader;

/// Where the log listens unless it is told otherwise.
const LOG_PORT: u16 = 9092;
/// Where the registry listens unless it is told otherwise.
const REGISTRY_PORT: u16 = 8081;

/// The flags of `shop tail`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this topic; all of the store's topics when left out.
    topic: Option<String>,

    /// Start with the earliest record kept instead of the next one to come.
    #[arg(long)]
    from_start: bool,

    /// End with the last record that is there now instead of waiting for more.
    #[arg(long)]
    until_end: bool,

    /// URL of the gateway: the log and the registry are expected on its host, unless they are named.
    #[arg(
        long,
        env = "SHOP_GATEWAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8900"
    )]
    gateway: Uri,

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

    /// Lines for people, or JSON for programs: one object per line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Args {
    fn brokers(&self) -> Vec<String> {
        if self.log.is_empty() {
            return vec![format!("{}:{LOG_PORT}", self.host())];
        }
        self.log.clone()
    }

    fn registry_url(&self) -> String {
        let beside = || format!("http://{}:{REGISTRY_PORT}", self.host());
        self.registry.clone().unwrap_or_else(beside)
    }

    fn host(&self) -> &str {
        self.gateway.host().unwrap_or("127.0.0.1")
    }
}

/// Shows messages until the process is interrupted, or the end is reached if that was asked for.
///
/// # Errors
/// [`Exit::Unreachable`] when the log does not answer, [`Exit::Refused`] when it has no such topic.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let url = args.registry_url();
    let registry = ConfluentRegistry::new(&url)
        .map_err(|error| Failure::new(Exit::Usage, format!("--registry {url}: {error}")))?;
    let log: Arc<dyn Log> = Arc::new(KafkaLog::new(kafka::Config {
        bootstrap: args.brokers(),
        client_id: "shop-tail".to_owned(),
    }));
    let show = async |message: reader::Message| show(&registry, message, args.output).await;
    let reader = open(args, &log).await?;
    let backlog_shown = reader.backlog(show).await?;
    if args.until_end {
        return Ok(());
    }
    backlog_shown.follow(show).await
}

/// Finds the partitions of the topics asked for.
async fn open(args: &Args, log: &Arc<dyn Log>) -> Result<Reader, Failure> {
    let asked: Vec<&str> = match &args.topic {
        Some(topic) => vec![topic],
        None => topics::ALL.to_vec(),
    };
    let mut reader = Reader::new(Arc::clone(log));
    for &topic in &asked {
        let partitions = log
            .partitions(topic)
            .await
            .map_err(|error| unread(&error))?;
        for partition in 0..partitions.unwrap_or(0) {
            reader.add(topic, partition, args.from_start).await?;
        }
    }
    if reader.is_empty() {
        let message = format!("the log has no topic {}", asked.join(", "));
        return Err(Failure::new(Exit::Refused, message));
    }
    Ok(reader)
}

async fn show(
    registry: &dyn SchemaRegistry,
    message: reader::Message,
    format: Format,
) -> Result<(), Failure> {
    let line = Line::of(registry, &message).await;
    let text = match format {
        Format::Table => line.to_text(),
        Format::Json => line.to_json(),
    };
    let mut out = stdout();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// A failure of the log, as an exit status.
fn unread(error: &log::Error) -> Failure {
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
        tail: Args,
    }

    fn tail(flags: &[&str]) -> Args {
        Program::parse_from([&["tail"], flags].concat()).tail
    }

    #[test]
    fn log_and_registry_are_expected_beside_the_gateway() {
        let args = tail(&["--gateway", "http://store.test:8900"]);
        assert_eq!(args.brokers(), ["store.test:9092"]);
        assert_eq!(args.registry_url(), "http://store.test:8081");
    }

    #[test]
    fn a_log_or_registry_that_is_named_is_taken() {
        let args = tail(&["--log", "a:1,b:2", "--registry", "http://c:3"]);
        assert_eq!(args.brokers(), ["a:1", "b:2"]);
        assert_eq!(args.registry_url(), "http://c:3");
    }
}
