//! `shop tail`: the log's messages, each on a line.

use std::io::{Write, stdout};
use std::sync::Arc;

use contracts::topics;
use messaging::log::Log;
use messaging::registry::SchemaRegistry;
use tonic::transport::Uri;

use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::services::{LogArgs, log_failure};

mod line;
pub(crate) mod reader;

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

    /// URL of the gateway: the log and the registry are expected on its host, unless they are named.
    #[arg(
        long,
        env = "SHOP_GATEWAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8900"
    )]
    gateway: Uri,

    #[command(flatten)]
    log: LogArgs,

    /// Lines for people, or JSON for programs: one object per line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Shows messages until the process is interrupted, or the end is reached if that was asked for.
///
/// # Errors
/// [`Exit::Unreachable`] when the log does not answer, [`Exit::Refused`] when it has no such topic.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let gateway = args.gateway.to_string();
    let registry = args.log.registry(&gateway)?;
    let log = args.log.log(&gateway, "shop-tail")?;
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
            .map_err(|error| log_failure(&error))?;
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
