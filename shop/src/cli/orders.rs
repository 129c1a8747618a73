//! `shop order`, `shop orders` and `shop watch`.

use std::io::{Write, stdout};
use std::num::NonZeroUsize;
use std::time::Duration;

use contracts::limits::PAGE_SIZE_MAX;
use contracts::proto::{GetOrderRequest, ListOrdersRequest, Order, WatchOrderRequest};
use tonic::{Code, Request, Status};

use super::status::{StatusArg, is_terminal};
use crate::client::{ClientArgs, describe};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Lister, json, order_sheet, order_state};

/// The flags of `shop order`.
#[derive(clap::Args, Debug)]
pub struct OrderArgs {
    /// The order.
    id: String,

    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `shop orders`.
#[derive(clap::Args, Debug)]
pub struct OrdersArgs {
    /// Only this customer's.
    #[arg(long, value_name = "ID", default_value = "")]
    customer: String,

    /// Only orders that stand there now.
    #[arg(long, value_name = "STATUS", value_enum, ignore_case = true)]
    status: Option<StatusArg>,

    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,

    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `shop watch`.
#[derive(clap::Args, Debug)]
pub struct WatchArgs {
    /// The order; one not yet seen is waited for.
    id: String,

    /// Only versions later than this one.
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    after: i64,

    #[command(flatten)]
    client: ClientArgs,
}

/// Shows an order.
pub(super) async fn order(args: &OrderArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let request = client.request(GetOrderRequest {
        order_id: args.id.clone(),
    });
    let answer = client.orders.get_order(request).await;
    let order = answer.map_err(|status| not_shown(&status, &args.id))?;
    let order = order.into_inner().order.unwrap_or_default();
    let mut out = stdout();
    match args.client.output {
        Format::Table => order_sheet(&mut out, &order)?,
        Format::Json => writeln!(out, "{}", json::line(&order))?,
    }
    Ok(())
}

fn not_shown(status: &Status, order_id: &str) -> Failure {
    if status.code() == Code::NotFound {
        let message = format!(
            "NOT_FOUND: no order {order_id}; one placed a moment ago is shown once it is processed"
        );
        return Failure::new(Exit::Refused, message);
    }
    Failure::from(status.clone())
}

/// Lists orders, page by page.
pub(super) async fn orders(args: &OrdersArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let mut left = args.limit.map_or(usize::MAX, NonZeroUsize::get);
    let mut lister = Lister::new(stdout(), args.client.output);
    let mut page_token = String::new();
    loop {
        let page_size = i32::try_from(left)
            .unwrap_or(PAGE_SIZE_MAX)
            .min(PAGE_SIZE_MAX);
        let request = client.request(ListOrdersRequest {
            customer_id: args.customer.clone(),
            status: args.status.map_or(0, |status| {
                contracts::proto::order::Status::from(status).into()
            }),
            page_size,
            page_token,
        });
        let page = client.orders.list_orders(request).await?.into_inner();
        lister.page(&page.orders)?;
        left = left.saturating_sub(page.orders.len());
        page_token = page.next_page_token;
        if page_token.is_empty() || left == 0 {
            return Ok(());
        }
    }
}

/// Shows an order's states as they come, until a terminal one or until the time runs out.
pub(super) async fn watch(args: &WatchArgs) -> Result<(), Failure> {
    let Some(seconds) = args.client.timeout else {
        return watch_to_the_end(args).await;
    };
    let limit = Duration::from_secs(seconds);
    let ended = tokio::time::timeout(limit, watch_to_the_end(args)).await;
    ended.unwrap_or_else(|_| {
        let message = format!("{}: time ran out before a terminal status", args.id);
        Err(Failure::new(Exit::TimedOut, message))
    })
}

/// Goes on where it was when a gateway drains.
async fn watch_to_the_end(args: &WatchArgs) -> Result<(), Failure> {
    let mut after_version = args.after;
    loop {
        let mut client = args.client.connect().await?;
        let request = Request::new(WatchOrderRequest {
            order_id: args.id.clone(),
            after_version,
        });
        let mut states = client.orders.watch_order(request).await?.into_inner();
        let resumed_at = after_version;
        let broken = loop {
            match states.message().await {
                Ok(Some(answer)) => {
                    let order = answer.order.unwrap_or_default();
                    show_state(&order, args.client.output)?;
                    after_version = order.version;
                    if is_terminal(order.status()) {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(status) => break status,
            }
        };
        // Going on without having seen anything new could go on for ever.
        if broken.code() != Code::Unavailable || after_version == resumed_at {
            return Err(broken.into());
        }
        eprintln!("{}; watching again", describe(&broken));
    }
}

fn show_state(order: &Order, format: Format) -> Result<(), Failure> {
    let mut out = stdout();
    match format {
        Format::Table => writeln!(out, "{}", order_state(order))?,
        Format::Json => writeln!(out, "{}", json::line(order))?,
    }
    Ok(())
}
