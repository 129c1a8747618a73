//! The stock of the walkthrough.

use contracts::proto::{GetStockRequest, ReceiveStockRequest, ReceiveStockResponse};
use messaging::ids::{Ids, SystemIds};
use messaging::limits::BACKOFF;
use tonic::Code;

use crate::client::Client;
use crate::exit::Failure;

/// Product and quantity. The receipts' ids are fixed, so that seeding twice adds nothing.
pub const STOCK: [(&str, i32); 2] = [("PRODUCT_001", 10), ("PRODUCT_002", 15)];

/// Questions after which the stock counts as not booked in yet: about 6 s with [`BACKOFF`].
const QUESTIONS_MAX: u32 = 15;

/// Whether Inventory has booked the stock in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    /// It shows.
    Now,
    /// The receipts are in the log; Inventory has not got to them, or is not there.
    Later,
}

/// What seeding did.
#[derive(Clone, Debug, PartialEq)]
pub struct Seeded {
    /// The receipts that the store has accepted.
    pub accepted: Vec<ReceiveStockResponse>,
    /// Whether they show.
    pub booked: Booked,
}

/// Receives [`STOCK`] and waits, within limits, until it shows.
///
/// # Errors
/// When the gateway does not accept a receipt.
pub async fn seed(client: &mut Client) -> Result<Seeded, Failure> {
    let mut accepted = Vec::new();
    for (product_id, quantity) in STOCK {
        let request = client.request(ReceiveStockRequest {
            receipt_id: format!("SEED_{product_id}"),
            product_id: product_id.to_owned(),
            quantity,
        });
        accepted.push(client.inventory.receive_stock(request).await?.into_inner());
    }
    let booked = booked(client).await?;
    Ok(Seeded { accepted, booked })
}

async fn booked(client: &mut Client) -> Result<Booked, Failure> {
    let mut backoff = BACKOFF.start();
    for _ in 0..QUESTIONS_MAX {
        match all_show(client).await? {
            Some(true) => return Ok(Booked::Now),
            Some(false) => tokio::time::sleep(backoff.next(SystemIds.random())).await,
            None => break,
        }
    }
    Ok(Booked::Later)
}

/// Whether every product has been received; `None` when Inventory does not answer.
async fn all_show(client: &mut Client) -> Result<Option<bool>, Failure> {
    for (product_id, _) in STOCK {
        let request = client.request(GetStockRequest {
            product_id: product_id.to_owned(),
        });
        match client.inventory.get_stock(request).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::NotFound => return Ok(Some(false)),
            Err(status) if status.code() == Code::Unavailable => return Ok(None),
            Err(status) => return Err(status.into()),
        }
    }
    Ok(Some(true))
}
