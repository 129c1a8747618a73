//! `shop audit`.

use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;

use ::audit::fold::ITEMS_MAX;
use ::audit::report::Report;
use ::audit::running::{self, Error, Progress, Store};
use messaging::clock::SystemClock;

use crate::client::ClientArgs;
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::services::{LogArgs, Service, ServicesArgs, log_failure};

mod bar;
mod text;

use bar::Bar;

/// The flags of `shop audit`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Items (orders, receipts, commands, events) to hold at one time: a store that has more is read
    /// in several passes. 1,500,000 take about 300 MB.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = ITEMS_MAX,
        hide_default_value = true
    )]
    items_max: usize,

    #[command(flatten)]
    client: ClientArgs,

    #[command(flatten)]
    services: ServicesArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// Proves or refutes that the store kept its promises; names who broke them.
pub(super) async fn audit(args: &Args) -> Result<(), Failure> {
    let bearer = args.client.token.bearer()?;
    let connect = async |service| {
        let tls = &args.client.tls;
        args.services.connect(service, tls, bearer.clone()).await
    };
    let store = Store {
        log: args.log.log(&args.client.gateway, "shop-audit")?,
        registry: Arc::new(args.log.registry(&args.client.gateway)?),
        order: connect(Service::Order).await?,
        inventory: connect(Service::Inventory).await?,
        clock: Arc::new(SystemClock),
    };
    let mut bar = Bar::new(std::io::stderr(), std::io::stderr().is_terminal());
    let mut tell = |progress: Progress| bar.show(progress);
    let report = running::audit(store, args.items_max, &mut tell).await;
    bar.end();
    let report = report.map_err(|error| failure(&error))?;
    let mut out = stdout().lock();
    match args.client.output {
        Format::Table => out.write_all(text::people(&report).as_bytes())?,
        Format::Json => writeln!(out, "{}", text::json(&report))?,
    }
    out.flush()?;
    verdict(&report)
}

/// Everything has been said on standard output.
fn verdict(report: &Report) -> Result<(), Failure> {
    if report.offenders_count == 0 {
        Ok(())
    } else {
        Err(Failure::new(Exit::Refused, ""))
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Log(error) => log_failure(error),
        Error::Registry(_) => Failure::new(Exit::Unreachable, error.to_string()),
        Error::Service { service, status } => {
            let failure = Failure::from((**status).clone());
            Failure::new(failure.exit, format!("{service}: {}", failure.message))
        }
        Error::NoTopic { .. } | Error::Row { .. } => Failure::new(Exit::Refused, error.to_string()),
    }
}
