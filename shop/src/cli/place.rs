//! `shop place`.

use std::io::{Read, stdout};
use std::path::PathBuf;

use contracts::proto::order::Status;
use contracts::proto::{GetOrderRequest, PlaceOrderRequest, PlaceOrderResponse};
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
    client: ClientArgs,
}

/// Places the order of a file.
pub(super) async fn place(args: &Args) -> Result<(), Failure> {
    let mut request = read(args)?;
    if let Some(wait) = args.wait {
        request.set_wait_for(wait.into());
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
