//! `shop receive`, `shop stock` and `shop seed`.

use std::io::stdout;

use contracts::limits::PAGE_SIZE_MAX;
use contracts::proto::{GetStockRequest, ListStockRequest, ReceiveStockRequest};
use messaging::ids::{Ids, SystemIds};

use crate::client::ClientArgs;
use crate::exit::Failure;
use crate::output::Lister;
use crate::seed::{self, Booked};

/// The flags of `shop seed`.
#[derive(clap::Args, Debug)]
pub struct SeedArgs {
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `shop receive`.
#[derive(clap::Args, Debug)]
pub struct ReceiveArgs {
    /// The product.
    product: String,

    /// How many, 1 to 1,000,000.
    quantity: i32,

    /// The delivery's id: the first receipt under an id counts. One is made up when left out.
    #[arg(long, value_name = "ID")]
    receipt: Option<String>,

    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `shop stock`.
#[derive(clap::Args, Debug)]
pub struct StockArgs {
    /// Only this product.
    product: Option<String>,

    #[command(flatten)]
    client: ClientArgs,
}

/// Receives the walkthrough's stock.
pub(super) async fn seed(args: &SeedArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let seeded = seed::seed(&mut client).await?;
    Lister::new(stdout(), args.client.output).page(&seeded.accepted)?;
    if seeded.booked == Booked::Later {
        eprintln!("accepted, not processed yet: inventory books it in when it is back");
    }
    Ok(())
}

/// Receives stock.
pub(super) async fn receive(args: &ReceiveArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let receipt_id = args
        .receipt
        .clone()
        .unwrap_or_else(|| SystemIds.fresh().to_string());
    let request = client.request(ReceiveStockRequest {
        receipt_id,
        product_id: args.product.clone(),
        quantity: args.quantity,
    });
    let accepted = client.inventory.receive_stock(request).await?.into_inner();
    Ok(Lister::new(stdout(), args.client.output).page(&[accepted])?)
}

/// Shows one product's stock, or all.
pub(super) async fn stock(args: &StockArgs) -> Result<(), Failure> {
    let mut client = args.client.connect().await?;
    let mut lister = Lister::new(stdout(), args.client.output);
    if let Some(product_id) = args.product.clone() {
        let request = client.request(GetStockRequest { product_id });
        let answer = client.inventory.get_stock(request).await?.into_inner();
        return Ok(lister.page(&[answer.stock.unwrap_or_default()])?);
    }
    let mut page_token = String::new();
    loop {
        let request = client.request(ListStockRequest {
            page_size: PAGE_SIZE_MAX,
            page_token,
        });
        let page = client.inventory.list_stock(request).await?.into_inner();
        lister.page(&page.stock)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}
