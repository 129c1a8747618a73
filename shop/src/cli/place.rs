//! `shop place`.

use std::io::{Read, stdout};
use std::path::PathBuf;
use std::time::Duration;

use contracts::proto::order::Status;
use contracts::proto::{GetOrderRequest, PlaceOrderRequest, PlaceOrderResponse};
use contracts::time;
use messaging::clock::{Clock as _, SystemClock, Timestamp};
use messaging::config;
use tonic::Code;

use super::status::{StatusArg, is_terminal, reached};
use crate::client::{Client, ClientArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Lister, json, status_name};

/// The flags of `shop place`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The request as JSON, as a gRPC call of PlaceOrder takes it; - reads standard input.
    file: PathBuf,

    /// Wait until the order has reached or passed this status.
    #[arg(long, value_name = "STATUS", value_enum, ignore_case = true)]
    wait: Option<StatusArg>,

    #[command(flatten)]
    deadline: DeadlineArgs,

    #[command(flatten)]
    client: ClientArgs,
}

/// When the order must be reserved, in place of what the request says.
#[derive(clap::Args, Debug)]
#[group(multiple = false)]
struct DeadlineArgs {
    /// Reject the order unless it is reserved before this time, for example 2026-12-24T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    reserve_by: Option<Timestamp>,

    /// Reject the order unless it is reserved so long from now: a number with s, m, h or d. Repeat such
    /// an order with the deadline that it has, by --reserve-by.
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    reserve_within: Option<Duration>,
}

impl DeadlineArgs {
    fn deadline(&self) -> Option<Timestamp> {
        let from_now = || Some(SystemClock.now().plus(self.reserve_within?));
        self.reserve_by.or_else(from_now)
    }
}

/// Places the order of a file.
pub(super) async fn place(args: &Args) -> Result<(), Failure> {
    let mut request = read(args)?;
    if let Some(wait) = args.wait {
        request.set_wait_for(wait.into());
    }
    if let (Some(deadline), Some(order)) = (args.deadline.deadline(), request.order.as_mut()) {
        order.reserve_by = Some(time::shown(deadline));
    }
    let wanted = request.wait_for();
    let mut client = args.client.connect().await?;
    let request = client.request(request);
    let placed = client.orders.place_order(request).await?.into_inner();
    Lister::new(stdout(), args.client.output).page(std::slice::from_ref(&placed))?;
    if reached(wanted, placed.status()) {
        return Ok(());
    }
    Err(fell_short(&mut client, wanted, &placed).await)
}

fn read(args: &Args) -> Result<PlaceOrderRequest, Failure> {
    let name = args.file.display();
    let text = if args.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.file)
    };
    let text =
        text.map_err(|error| Failure::new(Exit::Usage, format!("cannot read {name}: {error}")))?;
    json::parse("shop.v1.PlaceOrderRequest", &text).map_err(|error| {
        let message = format!("{name} is no PlaceOrder request: {error}");
        Failure::new(Exit::Usage, message)
    })
}

/// Why waiting ended without `wanted`: another end, or the time.
async fn fell_short(client: &mut Client, wanted: Status, placed: &PlaceOrderResponse) -> Failure {
    let order_id = &placed.order_id;
    let ask = client.request(GetOrderRequest {
        order_id: order_id.clone(),
    });
    let (status, reason) = match client.orders.get_order(ask).await {
        Ok(answer) => {
            let order = answer.into_inner().order.unwrap_or_default();
            (order.status(), order.reason)
        }
        Err(status) if status.code() == Code::NotFound => {
            let message = format!("{order_id} is accepted, not processed yet");
            return Failure::new(Exit::TimedOut, message);
        }
        // Nobody can tell: what the acceptance said may be all there is.
        Err(_) if placed.status() == Status::Pending => {
            let message = format!(
                "{order_id} is accepted; how it stands cannot be told now: see shop order {order_id}"
            );
            return Failure::new(Exit::TimedOut, message);
        }
        Err(_) => (placed.status(), String::new()),
    };
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    };
    let ended_otherwise = is_terminal(status) && !reached(wanted, status);
    let (wanted, shown) = (status_name(wanted), status_name(status));
    if ended_otherwise {
        let message = format!("{order_id} ended as {shown}, not {wanted}{why}");
        return Failure::new(Exit::Refused, message);
    }
    let message = format!("{order_id} stands at {shown}{why}; time ran out waiting for {wanted}");
    Failure::new(Exit::TimedOut, message)
}
