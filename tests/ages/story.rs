//! Upgrades of a whole store while orders flow: its parts one after the other, and back again.

use order::domain::Status;

use crate::changes::{everything_at_once, on_shortage_loses_a_symbol, the_currency_comes};
use crate::edition::{Edition, Kind};
use crate::run::Age;
use crate::shop::{Part, Shop};

/// The editions of all messages that a part writes or reads.
fn editions(part: Part, age: Age) -> Vec<Edition> {
    let kinds = Kind::ALL.into_iter();
    let kinds = kinds.filter(|kind| kind.producer() == part || kind.consumer() == part);
    kinds
        .map(|kind| everything_at_once(kind.today().schema).edition(kind, age))
        .collect()
}

/// Upgrades the parts in this order and takes them back in the same order. What was written before a
/// part changes its age, while it is away and after it is back becomes a reservation each time.
pub(crate) async fn upgrade_and_take_back(parts: [Part; 3]) {
    let mut shop = Shop::new().await;
    for part in parts {
        shop.start(part, editions(part, Age::Old)).await;
    }
    shop.stock("P1", 1_000).await;
    shop.stock("RARE", 1).await;
    shop.place("TAKES-FULL", &["RARE"]).await;
    shop.reaches("TAKES-FULL", Status::Reserved).await;
    // It waits through all the upgrades.
    shop.place("WAITS-FULL", &["RARE"]).await;
    shop.reaches("WAITS-FULL", Status::Backordered).await;
    let mut ages = Vec::new();
    for age in [Age::New, Age::Old] {
        for part in parts {
            let mut orders = place(&shop, &format!("BEFORE-{part}-{age}")).await;
            shop.stop(part).await;
            orders.extend(place(&shop, &format!("WITHOUT-{part}-{age}")).await);
            shop.start(part, editions(part, age)).await;
            orders.extend(place(&shop, &format!("AFTER-{part}-{age}")).await);
            for order_id in &orders {
                shop.reaches(order_id, Status::Reserved).await;
            }
            ages.push((part, age));
            println!(
                "everything at once | {} | {} orders RESERVED, nothing parked",
                told(&ages),
                orders.len()
            );
        }
    }
    shop.receive("RECEIPT-2", "RARE", 1).await;
    shop.reaches("WAITS-FULL", Status::Reserved).await;
    assert_eq!(shop.trouble().await, [""; 0]);
    shop.stop_all().await;
}

/// What has happened so far.
fn told(ages: &[(Part, Age)]) -> String {
    let steps = ages.iter().map(|(part, age)| format!("{part} {age}"));
    steps.collect::<Vec<_>>().join(", then ")
}

/// Two orders, one of a client that uses all that its edition has, one of a client that does not.
async fn place(shop: &Shop, stem: &str) -> Vec<String> {
    let orders = vec![format!("{stem}-FULL"), format!("{stem}-PLAIN")];
    for order_id in &orders {
        shop.place(order_id, &["P1"]).await;
    }
    orders
}

/// What a symbol that turns into the default one does to an order: an Order service that asks
/// Inventory to refuse what is short, and an Inventory that does not know how to.
pub(crate) async fn shortage(inventory: Age) -> Shop {
    let kind = Kind::OrderPlaced;
    let change = on_shortage_loses_a_symbol(kind.today().schema);
    let mut shop = Shop::new().await;
    let editions = |age| vec![change.edition(kind, age)];
    shop.start(Part::Order, editions(Age::Old)).await;
    shop.start(Part::Inventory, editions(inventory)).await;
    shop.stock("P1", 1).await;
    shop.place("TAKES-FULL", &["P1"]).await;
    shop.reaches("TAKES-FULL", Status::Reserved).await;
    shop.place("SHORT-FULL", &["P1"]).await;
    shop
}

/// An old client writes no currency; today's type of the new Order service cannot do without one.
pub(crate) async fn without_currency() {
    let kind = Kind::PlaceOrder;
    let change = the_currency_comes(kind.today().schema);
    assert_eq!(change.complaints(kind), [""; 0]);
    let mut shop = Shop::new().await;
    let editions = |age| vec![change.edition(kind, age)];
    shop.start(Part::Client, editions(Age::Old)).await;
    shop.start(Part::Order, editions(Age::New)).await;
    shop.start(Part::Inventory, Vec::new()).await;
    shop.stock("P1", 1).await;
    shop.place("O-FULL", &["P1"]).await;
    let written = shop.bus.written(kind.today(), "O-FULL").await;
    assert_eq!(written.get("currency"), None);
    let order = shop.reaches("O-FULL", Status::Reserved).await;
    assert_eq!(order.placed.currency, "EUR");
    shop.stop_all().await;
    println!("the currency comes: {kind:?} | client old | Order new | RESERVED, currency = EUR");
}
