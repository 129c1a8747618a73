//! `shop explain`.

use std::io::{Write, stdout};

use contracts::limits::is_id;

use crate::client::ClientArgs;
use crate::exit::{Exit, Failure};
use crate::explain::facts::{Extent, Facts};
use crate::explain::gather::Sources;
use crate::explain::notes::notes;
use crate::explain::report;
use crate::services::{LogArgs, ServicesArgs};

/// The flags of `shop explain`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The order.
    id: String,

    #[command(flatten)]
    client: ClientArgs,

    #[command(flatten)]
    services: ServicesArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// Shows an order's messages and what it waits for. What cannot be asked is said, and the rest is
/// shown.
pub(super) async fn explain(args: &Args) -> Result<(), Failure> {
    if !is_id(&args.id) {
        let message = format!("{}: no order id; write [A-Za-z0-9._-]{{1,64}}", args.id);
        return Err(Failure::new(Exit::Usage, message));
    }
    let sources = Sources {
        log: args.log.log(&args.client.gateway, "shop-explain")?,
        registry: args.log.registry(&args.client.gateway)?,
        services: &args.services,
        client: &args.client,
    };
    let facts = sources.gather(&args.id).await?;
    if !facts.is_known() {
        return Err(not_found(&facts));
    }
    let mut out = stdout().lock();
    report::write(&mut out, &facts, args.client.output)?;
    Ok(out.flush()?)
}

/// No trace of the order: nowhere at all, or not in what answered.
fn not_found(facts: &Facts) -> Failure {
    let is_unread = |extent: &Extent| matches!(extent, Extent::Unread(_));
    let all_answered =
        facts.shards().all(|shard| shard.answers) && !facts.extents.values().any(is_unread);
    let (exit, told) = if all_answered {
        let told = "no service and no message in the log knows it; is the id right?";
        (Exit::Refused, told)
    } else {
        (Exit::Unreachable, "what answers does not know it")
    };
    let mut message = format!("no order {}: {told}", facts.order_id);
    for note in notes(facts) {
        message.push_str("\n  ");
        message.push_str(&note);
    }
    Failure::new(exit, message)
}
