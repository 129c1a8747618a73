//! Inventory's tables in Postgres.

use messaging::store::{Error, Tables};
use sqlx::PgConnection;
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

pub use queries::PostgresQueries;

/// The tables' migrations, versions 1000 and up.
pub static MIGRATIONS: Migrator = sqlx::migrate!("src/store/postgres/migrations");

/// Loads and saves the book inside the store's turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgresTables {
    bounds: Bounds,
}

impl PostgresTables {
    /// Tables that load within other bounds than [`Bounds::default`]; the context's must be the
    /// same.
    #[must_use]
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds }
    }
}

impl Tables<InventoryContext, PgConnection> for PostgresTables {
    async fn load(&self, tx: &mut PgConnection, messages: &[&Message]) -> Result<Book, Error> {
        loading::load(&mut PostgresBook(tx), messages).await
    }

    async fn load_follow_up(&self, tx: &mut PgConnection, book: &mut Book) -> Result<(), Error> {
        loading::load_follow_up(&mut PostgresBook(tx), book, &self.bounds).await
    }

    async fn save(&self, tx: &mut PgConnection, book: &Book) -> Result<(), Error> {
        PostgresBook(tx).write(&Changes::of(book)).await
    }
}

/// The book's tables in one Postgres transaction.
struct PostgresBook<'t>(&'t mut PgConnection);
