//! What a turn loads of the book.

use std::collections::{BTreeMap, BTreeSet};

use messaging::mutant::{self, Mutant};
use messaging::store::Error;

use super::BookTables;
use crate::context::Message;
use crate::domain::book::Book;
use crate::domain::deadline::Earliest;
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::limits::Bounds;

/// What a batch of messages concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Concern {
    orders: BTreeSet<OrderId>,
    receipts: BTreeSet<ReceiptId>,
    products: BTreeSet<ProductId>,
    /// Messages that may each take one waiter out of any queue.
    leaving: usize,
}

impl Concern {
    fn of(messages: &[&Message]) -> Self {
        let mut concern = Self::default();
        for message in messages {
            match message {
                Message::Placed(placed) => {
                    concern.orders.insert(OrderId::from(&placed.order_id));
                    let products = placed.lines.iter().map(|line| &line.product_id);
                    concern.products.extend(products.map(ProductId::from));
                }
                Message::Cancelled(cancelled) => {
                    concern.orders.insert(OrderId::from(&cancelled.order_id));
                    concern.leaving += 1;
                }
                Message::Completed(completed) => {
                    concern.orders.insert(OrderId::from(&completed.order_id));
                }
                Message::Receive(receive) => {
                    concern
                        .receipts
                        .insert(ReceiptId::from(&receive.receipt_id));
                    concern
                        .products
                        .insert(ProductId::from(&receive.product_id));
                }
            }
        }
        concern
    }
}

/// Locks the book, then loads what `messages` concern.
///
/// Of each queue it loads one place more than the batch can empty, so that "somebody waits" is
/// known exactly after every message.
///
/// # Errors
/// As the tables'.
pub async fn load(tables: &mut impl BookTables, messages: &[&Message]) -> Result<Book, Error> {
    let concern = Concern::of(messages);
    let mut unlocked = Vec::new();
    if mutant::on(Mutant::StockBeforeLock) {
        let products: Vec<_> = concern.products.iter().cloned().collect();
        unlocked = tables.stock(&products).await?;
    }
    let mut book = Book::new(tables.lock().await?);
    for (product, stock) in unlocked {
        book.load_stock(product, Some(stock));
    }
    load_receipts(tables, &mut book, concern.receipts).await?;
    let mut products = concern.products;
    products.extend(load_reservations(tables, &mut book, concern.orders).await?);
    load_queues(tables, &mut book, &products, concern.leaving + 1).await?;
    load_stock(tables, &mut book, products).await?;
    Ok(book)
}

/// Loads what the fulfilment pass needs: the oldest marks, the first waiters of those products,
/// and for every product that these waiters ask for its stock and the head of its queue.
///
/// Of each queue it loads as many places more as have been given up in this turn, so that the pass
/// can look at the first waiter of the oldest mark at least, whatever came before it.
///
/// # Errors
/// As the tables'.
pub async fn load_follow_up(
    tables: &mut impl BookTables,
    book: &mut Book,
    bounds: &Bounds,
) -> Result<(), Error> {
    load_earliest(tables, book, bounds).await?;
    let mut marks = tables.marks(bounds.products_per_turn + 1).await?;
    let beyond = marks.len() > bounds.products_per_turn;
    marks.truncate(bounds.products_per_turn);
    book.load_marks(marks, beyond);
    let mut marked = book.marked();
    marked.truncate(bounds.products_per_turn);
    if marked.is_empty() {
        return Ok(());
    }
    let gone = book.waiters_left();
    let marked: BTreeSet<_> = marked.into_iter().collect();
    load_queues(
        tables,
        book,
        &marked,
        bounds.places_each(marked.len()) + gone,
    )
    .await?;
    let waiters = first_waiters(book, &marked);
    let mut products = load_reservations(tables, book, waiters).await?;
    products.extend(marked.iter().cloned());
    let others: BTreeSet<_> = products.difference(&marked).cloned().collect();
    load_queues(
        tables,
        book,
        &others,
        bounds.places_each(others.len()) + gone,
    )
    .await?;
    load_stock(tables, book, products).await
}

/// Loads the waiters whose deadline has passed, a bounded number; asks only if there may be one. Those
/// behind them are served in the turn that follows: what they need is loaded for the marks of then.
async fn load_earliest(
    tables: &mut impl BookTables,
    book: &mut Book,
    bounds: &Bounds,
) -> Result<(), Error> {
    if !book.is_due() {
        return Ok(());
    }
    let most = bounds.waiters_per_turn;
    let earliest = Earliest::at(book.now(), tables.deadlines(most + 1).await?, most);
    let passed = earliest.passed.iter().cloned().collect();
    load_reservations(tables, book, passed).await?;
    book.load_earliest(earliest);
    Ok(())
}

fn first_waiters(book: &Book, products: &BTreeSet<ProductId>) -> BTreeSet<OrderId> {
    products
        .iter()
        .filter_map(|product| book.queue(product).ok())
        .flat_map(|queue| queue.waiters().cloned())
        .collect()
}

async fn load_receipts(
    tables: &mut impl BookTables,
    book: &mut Book,
    ids: BTreeSet<ReceiptId>,
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = ids.into_iter().collect();
    for receipt in tables.receipts(&ids).await? {
        book.load_receipt(receipt.receipt_id.clone(), Some(receipt));
    }
    for id in ids {
        book.load_receipt(id, None);
    }
    Ok(())
}

/// Loads the reservations of `orders` that are not loaded yet; returns the products that the
/// orders ask for.
async fn load_reservations(
    tables: &mut impl BookTables,
    book: &mut Book,
    orders: BTreeSet<OrderId>,
) -> Result<BTreeSet<ProductId>, Error> {
    let missing: Vec<_> = orders
        .iter()
        .filter(|order| !book.has_reservation(order))
        .cloned()
        .collect();
    if !missing.is_empty() {
        for reservation in tables.reservations(&missing).await? {
            book.load_reservation(reservation.order_id.clone(), Some(reservation));
        }
        for order in missing {
            book.load_reservation(order, None);
        }
    }
    Ok(orders
        .iter()
        .filter_map(|order| book.reservation(order).ok().flatten())
        .flat_map(|reservation| reservation.lines.keys().cloned())
        .collect())
}

async fn load_stock(
    tables: &mut impl BookTables,
    book: &mut Book,
    products: BTreeSet<ProductId>,
) -> Result<(), Error> {
    let missing: Vec<_> = products
        .into_iter()
        .filter(|product| !book.has_stock(product))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (product, stock) in tables.stock(&missing).await? {
        book.load_stock(product, Some(stock));
    }
    for product in missing {
        book.load_stock(product, None);
    }
    Ok(())
}

/// Loads the first `places` waiters of each product, and whether more stand behind them.
async fn load_queues(
    tables: &mut impl BookTables,
    book: &mut Book,
    products: &BTreeSet<ProductId>,
    places: usize,
) -> Result<(), Error> {
    if products.is_empty() {
        return Ok(());
    }
    let wanted: Vec<_> = products.iter().cloned().collect();
    let mut queues: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (product, position, order_id) in tables.queues(&wanted, places + 1).await? {
        queues
            .entry(product)
            .or_default()
            .push((position, order_id));
    }
    for product in wanted {
        let mut first = queues.remove(&product).unwrap_or_default();
        first.sort_by_key(|(position, _)| *position);
        let rest = first.len() > places;
        first.truncate(places);
        book.load_queue(product, first, rest);
    }
    Ok(())
}
