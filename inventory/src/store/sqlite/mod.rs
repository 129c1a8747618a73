//! Inventory's tables in SQLite.

use messaging::store::{Error, Tables};
use sqlx::SqliteConnection;
use sqlx::migrate::Migrator;

use super::loading;
use crate::context::{InventoryContext, Message};
use crate::domain::book::Book;
use crate::domain::changes::Changes;
use crate::limits::Bounds;
use crate::store::BookTables;

mod queries;
mod read;
mod write;

pub use queries::SqliteQueries;

/// The tables' migrations, versions 1000 and up.
pub static MIGRATIONS: Migrator = sqlx::migrate!("src/store/sqlite/migrations");

/// Loads and saves the book inside the store's turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqliteTables {
    bounds: Bounds,
}

impl SqliteTables {
    /// Tables that load within other bounds than [`Bounds::default`]; the context's must be the
    /// same.
    #[must_use]
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds }
    }
}

impl Tables<InventoryContext, SqliteConnection> for SqliteTables {
    async fn load(&self, tx: &mut SqliteConnection, messages: &[&Message]) -> Result<Book, Error> {
        loading::load(&mut SqliteBook(tx), messages).await
    }

    async fn load_follow_up(
        &self,
        tx: &mut SqliteConnection,
        book: &mut Book,
    ) -> Result<(), Error> {
        loading::load_follow_up(&mut SqliteBook(tx), book, &self.bounds).await
    }

    async fn save(&self, tx: &mut SqliteConnection, book: &Book) -> Result<(), Error> {
        SqliteBook(tx).write(&Changes::of(book)).await
    }
}

/// The book's tables in one SQLite transaction.
struct SqliteBook<'t>(&'t mut SqliteConnection);
