//! Requests as the gateway reads them, without a server around it: for trials of hostile ones.

use contracts::inventory::ReceiveStock;
use contracts::order::{CancelOrder, CompleteOrder, PlaceOrder};
use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, PlaceOrderRequest, ReceiveStockRequest,
};
use messaging::status;
use prost::Message;
use tonic::Status;

use crate::request;

/// A call whose request becomes a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `OrderService.PlaceOrder`; each request of `PlaceOrders` is one too.
    Place,
    /// `OrderService.CancelOrder`.
    Cancel,
    /// `OrderService.CompleteOrder`.
    Complete,
    /// `InventoryService.ReceiveStock`.
    Receive,
}

/// What an accepted request asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Of [`Call::Place`].
    Place(PlaceOrder),
    /// Of [`Call::Cancel`].
    Cancel(CancelOrder),
    /// Of [`Call::Complete`].
    Complete(CompleteOrder),
    /// Of [`Call::Receive`].
    Receive(ReceiveStock),
}

/// Decodes and checks the request of a `call` by `customer_id`, or by whoever may act for everybody.
///
/// # Errors
/// INVALID_ARGUMENT, with what is wrong with it.
pub fn command(call: Call, request: &[u8], customer_id: Option<&str>) -> Result<Command, Status> {
    match call {
        Call::Place => {
            let placement = request::place(decode::<PlaceOrderRequest>(request)?)?;
            Ok(Command::Place(placement.command))
        }
        Call::Cancel => {
            let request = decode::<CancelOrderRequest>(request)?;
            request::cancel(request, customer_id).map(Command::Cancel)
        }
        Call::Complete => {
            let request = decode::<CompleteOrderRequest>(request)?;
            request::complete(request).map(Command::Complete)
        }
        Call::Receive => {
            let request = decode::<ReceiveStockRequest>(request)?;
            request::receive(request).map(Command::Receive)
        }
    }
}

fn decode<M: Message + Default>(request: &[u8]) -> Result<M, Status> {
    M::decode(request).map_err(|error| {
        status::invalid([status::Violation {
            field: "request".to_owned(),
            description: error.to_string(),
        }])
    })
}
