//! A store in a temporary directory whose Inventory can be taken away and brought back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use contracts::client::Bearer;
use contracts::proto::order::Status;
use contracts::proto::{
    ListStockRequest, Order, PlaceOrderRequest, PlaceOrderResponse, ReceiveStockRequest,
    WatchOrderRequest,
};
use gateway::rate::RateArgs;
use messaging::config::{AuthArgs, TraceArgs};
use tempfile::TempDir;
use tonic::Request;

use super::told;
use crate::cli::status::{is_terminal, reached};
use crate::client::{Client, describe};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Item, Lister, order_state, status_name};
use crate::tls::TlsArgs;
use crate::up::address::Address;
use crate::up::elsewhere::ElsewhereArgs;
use crate::up::part::Part;
use crate::up::plan::Plan;
use crate::up::store::Store;
use crate::up::{self, PARTITIONS};

/// How long one step may take.
const STEP_MAX: Duration = Duration::from_secs(20);

/// The store of the demo.
pub(super) struct Stage {
    folder: TempDir,
    addresses: BTreeMap<Part, Address>,
    base: Store,
    inventory: Option<Store>,
    front: Store,
    client: Client,
}

impl Stage {
    /// Starts everything on free ports. What is called starts before what calls it, because a
    /// free port is known once it is bound.
    pub(super) async fn set() -> Result<Self, Failure> {
        let folder = up::temporary_folder()?;
        let mut addresses = Part::ALL.map(|part| (part, Address::local(0))).into();
        let base = start(&folder, &mut addresses, &[Part::Log, Part::Registry]).await?;
        let mut inventory = start(&folder, &mut addresses, &[Part::Inventory]).await?;
        let mut front = start(&folder, &mut addresses, &[Part::Gateway, Part::Order]).await?;
        within(async { Ok(inventory.ready().await?) }).await?;
        within(async { Ok(front.ready().await?) }).await?;
        let gateway = format!("http://{}", front.address(Part::Gateway));
        Ok(Self {
            client: Client::connect(&gateway, &TlsArgs::default(), STEP_MAX, Bearer::default())
                .await?,
            folder,
            addresses,
            base,
            inventory: Some(inventory),
            front,
        })
    }

    /// Stops everything and removes the directory.
    pub(super) async fn clear(self) {
        drop(self.client);
        self.front.stop().await;
        if let Some(inventory) = self.inventory {
            inventory.stop().await;
        }
        self.base.stop().await;
        drop(self.folder);
    }

    /// Stops Inventory, as if its machine were down.
    pub(super) async fn inventory_leaves(&mut self) {
        if let Some(inventory) = self.inventory.take() {
            inventory.stop().await;
        }
    }

    /// Starts Inventory again, at the same address and with the same data, and waits for it.
    pub(super) async fn inventory_returns(&mut self) -> Result<(), Failure> {
        let mut inventory = start(&self.folder, &mut self.addresses, &[Part::Inventory]).await?;
        within(async { Ok(inventory.ready().await?) }).await?;
        self.inventory = Some(inventory);
        Ok(())
    }

    /// Receives stock and shows the answer.
    pub(super) async fn receive(
        &mut self,
        product_id: &str,
        quantity: i32,
        receipt_id: &str,
    ) -> Result<(), Failure> {
        told::command(&format!(
            "receive {product_id} {quantity} --receipt {receipt_id}"
        ));
        let request = self.client.request(ReceiveStockRequest {
            receipt_id: receipt_id.to_owned(),
            product_id: product_id.to_owned(),
            quantity,
        });
        let answer = self.client.inventory.receive_stock(request).await?;
        show(&[answer.into_inner()])
    }

    /// Seeds and shows the answers.
    pub(super) async fn seed(&mut self) -> Result<(), Failure> {
        told::command("seed");
        show(&crate::seed::seed(&mut self.client).await?.accepted)
    }

    /// Places an order and shows the answer, which must be `expected`.
    pub(super) async fn place(
        &mut self,
        request: PlaceOrderRequest,
        expected: Status,
    ) -> Result<PlaceOrderResponse, Failure> {
        let request = self.client.request(request);
        let answer = self.client.orders.place_order(request).await?.into_inner();
        show(std::slice::from_ref(&answer))?;
        expect(
            "the answer",
            status_name(answer.status()),
            status_name(expected),
        )?;
        Ok(answer)
    }

    /// Places an order that the store must refuse, and shows why.
    pub(super) async fn place_in_vain(
        &mut self,
        request: PlaceOrderRequest,
        expected: tonic::Code,
    ) -> Result<(), Failure> {
        let request = self.client.request(request);
        match self.client.orders.place_order(request).await {
            Ok(answer) => {
                let status = status_name(answer.into_inner().status());
                expect("the answer", status, &format!("{expected:?}"))
            }
            Err(status) => {
                told::output(&describe(&status));
                expect(
                    "the refusal",
                    &format!("{:?}", status.code()),
                    &format!("{expected:?}"),
                )
            }
        }
    }

    /// Shows an order's states until it reaches `wanted`; returns the last.
    pub(super) async fn watch(&mut self, order_id: &str, wanted: Status) -> Result<Order, Failure> {
        told::command(&format!("watch {order_id}"));
        let request = Request::new(WatchOrderRequest {
            order_id: order_id.to_owned(),
            after_version: 0,
        });
        within(async {
            let mut states = self.client.orders.watch_order(request).await?.into_inner();
            while let Some(answer) = states.message().await? {
                let order = answer.order.unwrap_or_default();
                told::output(&order_state(&order));
                if reached(wanted, order.status()) {
                    return Ok(order);
                }
                if is_terminal(order.status()) {
                    break;
                }
            }
            Err(unexpected(&format!(
                "{order_id} ended before it was {}",
                status_name(wanted)
            )))
        })
        .await
    }

    /// Shows all stock, which must be `expected`: product, on hand, reserved.
    pub(super) async fn stock(&mut self, expected: &[(&str, i64, i64)]) -> Result<(), Failure> {
        told::command("stock");
        let request = self.client.request(ListStockRequest::default());
        let stock = self
            .client
            .inventory
            .list_stock(request)
            .await?
            .into_inner()
            .stock;
        show(&stock)?;
        let found: Vec<_> = stock
            .iter()
            .map(|level| (level.product_id.as_str(), level.on_hand, level.reserved))
            .collect();
        expect("the stock", &format!("{found:?}"), &format!("{expected:?}"))
    }

    /// Asks for the stock while Inventory is away, and shows the refusal.
    pub(super) async fn stock_in_vain(&mut self) -> Result<(), Failure> {
        told::command("stock");
        let request = self.client.request(ListStockRequest::default());
        match self.client.inventory.list_stock(request).await {
            Ok(_) => Err(unexpected("Inventory answered though it is away")),
            Err(status) => {
                told::output(&describe(&status));
                expect(
                    "the refusal",
                    &format!("{:?}", status.code()),
                    "Unavailable",
                )
            }
        }
    }
}

/// Starts `parts` and notes where they listen.
async fn start(
    folder: &TempDir,
    addresses: &mut BTreeMap<Part, Address>,
    parts: &[Part],
) -> Result<Store, Failure> {
    let store = Store::start(Plan {
        here: parts.iter().copied().collect(),
        addresses: addresses.clone(),
        http: Address::local(0),
        data_dir: PathBuf::from(folder.path()),
        partitions: PARTITIONS,
        reserve_within: None,
        elsewhere: ElsewhereArgs::default(),
        tls: None,
        auth: AuthArgs::default(),
        rate: RateArgs::default(),
        trace: TraceArgs::default(),
    })
    .await?;
    for &part in parts {
        addresses.insert(part, store.address(part).clone());
    }
    Ok(store)
}

async fn within<T>(step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(STEP_MAX, step)
        .await
        .unwrap_or_else(|_| Err(unexpected(&format!("a step took longer than {STEP_MAX:?}"))))
}

fn show<T: Item>(items: &[T]) -> Result<(), Failure> {
    let mut text = Vec::new();
    Lister::new(&mut text, Format::Table).page(items)?;
    told::output(&String::from_utf8_lossy(&text));
    Ok(())
}

/// Fails the demo unless `found` is `expected`.
pub(super) fn expect(what: &str, found: &str, expected: &str) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(unexpected(&format!("{what} is {found}, not {expected}")))
}

fn unexpected(what: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the story did not come out as told: {what}"),
    )
}
