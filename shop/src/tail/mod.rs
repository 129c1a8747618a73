//! `shop tail`: the log's messages, each on a line.

use std::io::{Write, stdout};
use std::sync::Arc;

use contracts::topics;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{self, Log};
use messaging::registry::SchemaRegistry;
use messaging::registry::confluent::ConfluentRegistry;

use crate::exit::{Exit, Failure};
use crate::output::Format;

mod line;
mod reader;

use line::Line;
use reader::Reader;

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

    /// Brokers of the log (Kafka protocol), as host:port, separated by commas.
    #[arg(
        long,
        env = "SHOP_LOG",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092"
    )]
    log: Vec<String>,

    /// URL of the schema registry.
    #[arg(
        long,
        env = "SHOP_REGISTRY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    registry: String,

    /// Lines for people, or JSON for programs: one object per line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Shows messages until the process is interrupted, or the end is reached if that was asked for.
///
/// # Errors
/// [`Exit::Unreachable`] when the log does not answer, [`Exit::Refused`] when it has no such topic.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let registry = ConfluentRegistry::new(&args.registry).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("--registry {}: {error}", args.registry),
        )
    })?;
    let log: Arc<dyn Log> = Arc::new(KafkaLog::new(kafka::Config {
        bootstrap: args.log.clone(),
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
