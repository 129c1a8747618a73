//! The book's tables in memory.

use std::collections::{BTreeMap, BTreeSet};

use messaging::clock::Timestamp;
use messaging::store::memory::{Reader, Tx, View};
use messaging::store::{Error, ErrorKind, Tables};

use super::loading;
use crate::context::{InventoryContext, Message};
use crate::domain::book::{Book, Counters};
use crate::domain::changes::{Changes, Place};
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::domain::marks::Mark;
use crate::domain::receive::Receipt;
use crate::domain::reservation::{Reservation, Status};
use crate::domain::stock::Stock;
use crate::limits::Bounds;
use crate::store::{BOOK, BookTables};

/// The table of books: [`BOOK`] -> [`Counters`]. Its row is the lock of every commit.
pub const STOCK_BOOK: &str = "stock_book";
/// The table of stock: product -> [`Stock`].
pub const STOCK: &str = "stock";
/// The table of receipts: receipt id -> [`Receipt`].
pub const RECEIPT: &str = "receipt";
/// The table of reservations: order -> [`Reservation`], its `short` empty: see [`WAITER`].
pub const RESERVATION: &str = "reservation";
/// The queues: product, NUL, position (8 bytes, big endian) -> [`OrderId`].
pub const WAITER: &str = "waiter";
/// The marks: product -> [`Mark`].
pub const FULFILMENT_MARK: &str = "fulfilment_mark";

/// Loads and saves the book inside the store's turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryTables {
    bounds: Bounds,
}

impl MemoryTables {
    /// Tables that load within other bounds than [`Bounds::default`]; the context's must be the
    /// same.
    #[must_use]
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds }
    }
}

impl Tables<InventoryContext, Tx> for MemoryTables {
    async fn load(&self, tx: &mut Tx, messages: &[&Message]) -> Result<Book, Error> {
        loading::load(&mut MemoryBook(tx), messages).await
    }

    async fn load_follow_up(&self, tx: &mut Tx, book: &mut Book) -> Result<(), Error> {
        loading::load_follow_up(&mut MemoryBook(tx), book, &self.bounds).await
    }

    async fn save(&self, tx: &mut Tx, book: &Book) -> Result<(), Error> {
        MemoryBook(tx).write(&Changes::of(book)).await
    }
}

/// The book's tables in one transaction.
struct MemoryBook<'t>(&'t mut Tx);

impl BookTables for MemoryBook<'_> {
    async fn lock(&mut self) -> Result<Counters, Error> {
        self.0.lock(STOCK_BOOK, BOOK.as_bytes()).await?;
        self.0.select(counters).await
    }

    async fn receipts(&mut self, ids: &[ReceiptId]) -> Result<Vec<Receipt>, Error> {
        self.0
            .select(|rows| {
                let row = |id: &ReceiptId| rows.get::<Receipt>(RECEIPT, id.as_str().as_bytes());
                let found = ids.iter().map(row).filter_map(Result::transpose);
                found.map(|row| Ok((*row?).clone())).collect()
            })
            .await
    }

    async fn reservations(&mut self, orders: &[OrderId]) -> Result<Vec<Reservation>, Error> {
        self.0
            .select(|rows| {
                let row = |id: &OrderId| rows.get(RESERVATION, id.as_str().as_bytes());
                let found = orders.iter().map(row).filter_map(Result::transpose);
                found
                    .map(|row| Ok(in_queues(rows, Reservation::clone(&*row?))))
                    .collect()
            })
            .await
    }

    async fn stock(&mut self, products: &[ProductId]) -> Result<Vec<(ProductId, Stock)>, Error> {
        self.0
            .select(|rows| {
                let mut found = Vec::new();
                for product in products {
                    if let Some(stock) = rows.get::<Stock>(STOCK, product.as_str().as_bytes())? {
                        found.push((product.clone(), *stock));
                    }
                }
                Ok(found)
            })
            .await
    }

    async fn queues(
        &mut self,
        products: &[ProductId],
        places: usize,
    ) -> Result<Vec<(ProductId, i64, OrderId)>, Error> {
        self.0
            .select(|rows| {
                let mut first = Vec::new();
                for product in products {
                    let queue = rows.scan::<OrderId>(WAITER, &queue_key(product))?;
                    first.extend(queue.into_iter().take(places).filter_map(|(key, order)| {
                        let (product, position) = place_of(&key)?;
                        Some((product, position, (*order).clone()))
                    }));
                }
                Ok(first)
            })
            .await
    }

    async fn marks(&mut self, limit: usize) -> Result<Vec<(ProductId, Mark)>, Error> {
        let mut marks = self.0.select(marks).await?;
        marks.sort_by_key(|(_, mark)| mark.sequence);
        marks.truncate(limit);
        Ok(marks)
    }

    async fn deadlines(&mut self, limit: usize) -> Result<Vec<(Timestamp, OrderId)>, Error> {
        let mut waiting = self.0.select(deadlines).await?;
        waiting.sort_unstable();
        waiting.truncate(limit);
        Ok(waiting)
    }

    async fn write(&mut self, changes: &Changes<'_>) -> Result<(), Error> {
        check(changes)?;
        let tx = &mut *self.0;
        if let Some(counters) = changes.counters {
            tx.put(STOCK_BOOK, BOOK.as_bytes(), counters).await?;
        }
        let receipts = changes.receipts.iter();
        tx.insert_all(
            RECEIPT,
            receipts.map(|receipt| (bytes(receipt.receipt_id.as_str()), (*receipt).clone())),
        )
        .await?;
        let stock = changes.stock.iter();
        tx.put_all(
            STOCK,
            stock.map(|(product, stock)| (bytes(product.as_str()), **stock)),
        )
        .await?;
        tx.insert_all(RESERVATION, changes.placed.iter().map(stored))
            .await?;
        tx.put_all(RESERVATION, changes.moved.iter().map(stored))
            .await?;
        let key = |place: &Place<'_>| waiter_key(place.product, place.position);
        tx.remove_all(WAITER, changes.left.iter().map(key)).await?;
        let joined = changes.joined.iter();
        tx.insert_all(
            WAITER,
            joined.map(|place| (key(place), place.order_id.clone())),
        )
        .await?;
        let unmarked = changes.unmarked.iter();
        tx.remove_all(
            FULFILMENT_MARK,
            unmarked.map(|product| bytes(product.as_str())),
        )
        .await?;
        // A mark that is in the database but was not loaded is older, so it stays.
        let marked = changes.marked.iter();
        tx.insert_missing(
            FULFILMENT_MARK,
            marked.map(|(product, mark)| (bytes(product.as_str()), (*mark).clone())),
        )
        .await
    }
}

/// What a database's constraints refuse.
fn check(changes: &Changes<'_>) -> Result<(), Error> {
    let wrong = changes.stock.iter().find(|(_, stock)| {
        stock.reserved < 0 || stock.reserved > stock.on_hand || stock.version < 1
    });
    match wrong {
        None => Ok(()),
        Some((product, stock)) => {
            let detail = format!("the stock of {product} would be {stock:?}");
            Err(Error::new(ErrorKind::Rejected, "save stock", detail))
        }
    }
}

/// A reservation's row: its queues stand in [`WAITER`] only.
fn stored(reservation: &&Reservation) -> (Vec<u8>, Reservation) {
    let row = Reservation {
        short: BTreeSet::new(),
        ..(*reservation).clone()
    };
    (bytes(reservation.order_id.as_str()), row)
}

/// Adds the queues that the order stands in.
fn in_queues(rows: View<'_>, mut reservation: Reservation) -> Reservation {
    if let Some(position) = reservation.position {
        let waits = |product: &&ProductId| rows.has(WAITER, &waiter_key(product, position));
        reservation.short = reservation.lines.keys().filter(waits).cloned().collect();
    }
    reservation
}

fn bytes(id: &str) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn queue_key(product: &ProductId) -> Vec<u8> {
    [product.as_str().as_bytes(), &[0]].concat()
}

/// The key of a row of [`WAITER`].
#[must_use]
pub fn waiter_key(product: &ProductId, position: i64) -> Vec<u8> {
    [&queue_key(product)[..], &position.to_be_bytes()].concat()
}

/// The product and the position in a key of [`WAITER`]; `None` for any other bytes.
#[must_use]
pub fn place_of(waiter_key: &[u8]) -> Option<(ProductId, i64)> {
    let (queue, position) = waiter_key.split_last_chunk::<8>()?;
    let product = std::str::from_utf8(queue.strip_suffix(&[0])?).ok()?;
    Some((ProductId::from(product), i64::from_be_bytes(*position)))
}

fn counters(rows: View<'_>) -> Result<Counters, Error> {
    let row = rows.get::<Counters>(STOCK_BOOK, BOOK.as_bytes())?;
    Ok(row.map_or_else(Counters::default, |row| *row))
}

fn marks(rows: View<'_>) -> Result<Vec<(ProductId, Mark)>, Error> {
    by_id(rows, FULFILMENT_MARK)
}

/// Who waits with a deadline, in no order.
fn deadlines(rows: View<'_>) -> Result<Vec<(Timestamp, OrderId)>, Error> {
    let rows = by_id::<OrderId, Reservation>(rows, RESERVATION)?;
    let waiting = rows
        .into_iter()
        .filter(|(_, row)| row.status == Status::Waiting);
    Ok(waiting
        .filter_map(|(order_id, row)| Some((row.reserve_by?, order_id)))
        .collect())
}

/// All committed rows of the book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The book's counters.
    pub counters: Counters,
    /// Stock by product.
    pub stock: BTreeMap<ProductId, Stock>,
    /// Receipts by id.
    pub receipts: BTreeMap<ReceiptId, Receipt>,
    /// Reservations by order, with the queues that they stand in.
    pub reservations: BTreeMap<OrderId, Reservation>,
    /// Who stands in which product's queue, at which place.
    pub waiters: BTreeMap<(ProductId, i64), OrderId>,
    /// Marks by product.
    pub marks: BTreeMap<ProductId, Mark>,
}

impl Holdings {
    /// How an order's reservation stands, if it has one.
    #[must_use]
    pub fn status(&self, order_id: &str) -> Option<Status> {
        let reservation = self.reservations.get(&OrderId::from(order_id))?;
        Some(reservation.status)
    }

    /// Who waits for a product, in order: place and order.
    pub fn queue<'h>(&'h self, product: &ProductId) -> impl Iterator<Item = (i64, &'h OrderId)> {
        let places = (product.clone(), i64::MIN)..=(product.clone(), i64::MAX);
        let places = self.waiters.range(places);
        places.map(|((_, position), order)| (*position, order))
    }

    /// Pieces of a product that may still be promised.
    #[must_use]
    pub fn available(&self, product: &ProductId) -> i64 {
        self.stock.get(product).map_or(0, Stock::available)
    }
}

/// Everything that the book holds, as committed at one moment.
///
/// # Errors
/// When the store holds rows of another program.
pub fn holdings(reader: &Reader) -> Result<Holdings, Error> {
    reader.select(|rows| {
        let waiters = rows.scan::<OrderId>(WAITER, b"")?;
        let reservations = by_id(rows, RESERVATION)?
            .into_iter()
            .map(|(id, row)| (id, in_queues(rows, row)));
        Ok(Holdings {
            counters: counters(rows)?,
            stock: by_id(rows, STOCK)?.into_iter().collect(),
            receipts: by_id(rows, RECEIPT)?.into_iter().collect(),
            reservations: reservations.collect(),
            waiters: waiters
                .into_iter()
                .filter_map(|(key, order)| Some((place_of(&key)?, (*order).clone())))
                .collect(),
            marks: marks(rows)?.into_iter().collect(),
        })
    })
}

/// All rows of a table whose keys are ids.
fn by_id<I, R>(rows: View<'_>, table: &'static str) -> Result<Vec<(I, R)>, Error>
where
    I: for<'t> From<&'t str>,
    R: Clone + Send + Sync + 'static,
{
    let rows = rows.scan::<R>(table, b"")?;
    let typed = |(key, row): (Vec<u8>, std::sync::Arc<R>)| {
        (I::from(&*String::from_utf8_lossy(&key)), (*row).clone())
    };
    Ok(rows.into_iter().map(typed).collect())
}
