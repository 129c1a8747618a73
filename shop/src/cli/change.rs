//! `shop cancel` and `shop complete`.

use std::io::stdout;

use contracts::proto::{CancelOrderRequest, CompleteOrderRequest};

use crate::client::ClientArgs;
use crate::exit::Failure;
use crate::output::Lister;

/// The flags of `shop cancel`.
#[derive(clap::Args, Debug)]
pub struct CancelArgs {
    /// The order.
    id: String,

    /// Why, for people; at most 200 characters.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `shop complete`.
#[derive(clap::Args, Debug)]
pub struct CompleteArgs {
    /// The order.
    id: String,

    #[command(flatten)]
    client: ClientArgs,
}

/// Asks for an order to be cancelled.
pub(super) async fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let request = client.request(CancelOrderRequest {
        order_id: args.id.clone(),
        reason: args.reason.clone(),
        request_id: String::new(),
    });
    let accepted = client.orders.cancel_order(request).await?.into_inner();
    Ok(Lister::new(stdout(), args.client.output).page(&[accepted])?)
}

/// Asks for an order to be shipped.
pub(super) async fn complete(args: &CompleteArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let request = client.request(CompleteOrderRequest {
        order_id: args.id.clone(),
        request_id: String::new(),
    });
    let accepted = client.orders.complete_order(request).await?.into_inner();
    Ok(Lister::new(stdout(), args.client.output).page(&[accepted])?)
}
