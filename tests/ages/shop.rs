//! A store whose parts are of different ages: a client, Order and Inventory.

use std::fmt;

use contracts::inventory::ReceiveStock;
use contracts::order::{PlaceOrder, PlaceOrderLine};
use contracts::shared::OnShortage;
use inventory::context::InventoryContext;
use inventory::store::sqlite::SqliteTables;
use messaging::message::Registration;
use order::context::OrderContext;
use order::domain::{Order, Status};
use order::store::Queries;
use order::store::sqlite::{OrderTables, SqliteQueries};
use serde_json::Value;

use crate::aged::{Aged, Seen};
use crate::bus::Bus;
use crate::edition::{Beyond, Edition, Kind};
use crate::service::Service;
use crate::wait::eventually;

/// What can be of an age of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Client,
    Order,
    Inventory,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client => "client",
            Self::Order => "Order",
            Self::Inventory => "Inventory",
        })
    }
}

impl Kind {
    pub(crate) fn producer(self) -> Part {
        match self {
            Self::PlaceOrder => Part::Client,
            Self::OrderPlaced => Part::Order,
            Self::StockReserved => Part::Inventory,
        }
    }

    pub(crate) fn consumer(self) -> Part {
        match self {
            Self::PlaceOrder | Self::StockReserved => Part::Order,
            Self::OrderPlaced => Part::Inventory,
        }
    }
}

/// A store; each of its parts is started with its editions.
pub(crate) struct Shop {
    pub(crate) bus: Bus,
    directory: tempfile::TempDir,
    /// The schema that the client writes orders with.
    client: Edition,
    order: Option<Service<OrderTables>>,
    inventory: Option<Service<SqliteTables>>,
    /// What the services made of the messages that they have editions of.
    pub(crate) seen: Seen,
}

impl Shop {
    /// A store none of whose parts run.
    pub(crate) async fn new() -> Self {
        Self {
            bus: Bus::new().await,
            directory: tempfile::tempdir().unwrap(),
            client: today(Kind::PlaceOrder.today()),
            order: None,
            inventory: None,
            seen: Seen::default(),
        }
    }

    /// Starts a part on what the last one left; it has `editions` of those of its messages that are
    /// not today's.
    pub(crate) async fn start(&mut self, part: Part, editions: Vec<Edition>) {
        let seen = self.seen.clone();
        match part {
            Part::Client => {
                let placing = editions.into_iter().find(|edition| {
                    let written = edition.registration.message_type;
                    written == Kind::PlaceOrder.today().message_type
                });
                self.client = placing.unwrap_or_else(|| today(Kind::PlaceOrder.today()));
            }
            Part::Order => {
                let context = Aged::new(OrderContext::default(), editions, seen);
                let database = self.directory.path().join("order.db");
                let migrations = &order::store::sqlite::MIGRATIONS;
                let started =
                    Service::start(&self.bus, &database, migrations, context, OrderTables);
                self.order = Some(started.await);
            }
            Part::Inventory => {
                let context = Aged::new(InventoryContext::default(), editions, seen);
                let database = self.directory.path().join("inventory.db");
                let migrations = &inventory::store::sqlite::MIGRATIONS;
                let tables = SqliteTables::default();
                let started = Service::start(&self.bus, &database, migrations, context, tables);
                self.inventory = Some(started.await);
            }
        }
    }

    /// Stops a part; a client is none that runs.
    pub(crate) async fn stop(&mut self, part: Part) {
        match part {
            Part::Client => {}
            Part::Order => self.order.take().unwrap().stop().await,
            Part::Inventory => self.inventory.take().unwrap().stop().await,
        }
    }

    pub(crate) async fn stop_all(mut self) {
        self.stop(Part::Order).await;
        self.stop(Part::Inventory).await;
    }

    /// Books the first stock of a product in, and waits until it is there.
    pub(crate) async fn stock(&self, product_id: &str, quantity: i32) {
        let receipt_id = format!("RECEIPT-1-{product_id}");
        self.receive(&receipt_id, product_id, quantity).await;
        let reader = self.inventory.as_ref().unwrap().reader();
        let queries = inventory::store::sqlite::SqliteQueries::new(reader);
        eventually(&format!("stock of {product_id}"), async || {
            assert_eq!(self.trouble().await, [""; 0], "{product_id}");
            let stock = inventory::store::Queries::stock(&queries, product_id);
            stock.await.unwrap()
        })
        .await;
    }

    /// Books stock in.
    pub(crate) async fn receive(&self, receipt_id: &str, product_id: &str, quantity: i32) {
        let receive = ReceiveStock {
            receipt_id: receipt_id.to_owned(),
            product_id: product_id.to_owned(),
            quantity,
        };
        let edition = today(Registration::of::<ReceiveStock>());
        self.bus.command(&edition, &receive).await;
    }

    /// Places an order of one unit of each product.
    pub(crate) async fn place(&self, order_id: &str, products: &[&str]) {
        let place = placement(order_id, products);
        self.bus.command(&self.client, &place).await;
    }

    pub(crate) async fn order(&self, order_id: &str) -> Option<Order> {
        let order = self.order.as_ref().unwrap();
        let queries = SqliteQueries::new(order.reader());
        queries.get(order_id).await.unwrap()
    }

    /// Waits until the order stands at `status`. A service in trouble fails the test at once, and so
    /// does an order that has come to another end.
    pub(crate) async fn reaches(&self, order_id: &str, status: Status) -> Order {
        eventually(&format!("{order_id} is {status:?}"), async || {
            assert_eq!(self.trouble().await, [""; 0], "{order_id}");
            let order = self.order(order_id).await?;
            let (found, over) = (order.status, order.status.is_terminal());
            assert!(found == status || !over, "{order_id}: {}", order.reason);
            (found == status).then_some(order)
        })
        .await
    }

    /// What the services that run have set aside, and which of them do not run any more.
    pub(crate) async fn trouble(&self) -> Vec<String> {
        let mut trouble = Vec::new();
        if let Some(order) = &self.order {
            trouble.extend(order.trouble().await);
        }
        if let Some(inventory) = &self.inventory {
            trouble.extend(inventory.trouble().await);
        }
        trouble
    }
}

fn today(registration: Registration) -> Edition {
    Edition {
        registration,
        writes: Beyond::default(),
    }
}

/// One unit of each product at 10.00, which waits for what is short.
pub(crate) fn placement(order_id: &str, products: &[&str]) -> PlaceOrder {
    let line = |product_id: &&str| PlaceOrderLine {
        product_id: (*product_id).to_owned(),
        quantity: 1,
        unit_price_minor: 1_000,
    };
    PlaceOrder {
        order_id: order_id.to_owned(),
        customer_id: "C1".to_owned(),
        currency: "GBP".to_owned(),
        lines: products.iter().map(line).collect(),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

impl Kind {
    /// The fields that today's type has, of an order of one unit of each product that is reserved at
    /// once.
    pub(crate) fn expected(self, order_id: &str, products: &[&str]) -> Value {
        let place = placement(order_id, products);
        let line = |line: &PlaceOrderLine| serde_json::json!({"product_id": line.product_id, "quantity": line.quantity});
        let lines: Vec<_> = place.lines.iter().map(line).collect();
        match self {
            Self::PlaceOrder => serde_json::to_value(place).unwrap(),
            Self::OrderPlaced => serde_json::json!({"order_id": order_id, "version": 1,
                "lines": lines, "on_shortage": place.on_shortage, "reserve_by": place.reserve_by}),
            Self::StockReserved => {
                serde_json::json!({"order_id": order_id, "version": 1, "lines": lines})
            }
        }
    }
}
