//! Rows whichever the database: columns by name, into the types that all of them have.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteTypeInfo, SqliteValueRef};
use sqlx::{ColumnIndex, Decode, Postgres, Row, Sqlite, Type};

/// Reads a column as a `V`.
pub trait Get<V> {
    /// The value of `column`.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    fn read(&self, column: &'static str) -> Result<V, sqlx::Error>;
}

impl<R, V> Get<V> for R
where
    R: Row,
    V: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    for<'c> &'c str: ColumnIndex<R>,
{
    fn read(&self, column: &'static str) -> Result<V, sqlx::Error> {
        self.try_get(column)
    }
}

/// A row of any SQL database, so that one function reads it from all of them.
///
/// Postgres is strict about the width of integers: `i32` is `INTEGER`, `i64` is `BIGINT`.
pub trait SqlRow:
    Get<String>
    + Get<Option<String>>
    + Get<Exact>
    + Get<Option<Exact>>
    + Get<i32>
    + Get<i64>
    + Get<Option<i64>>
    + Get<bool>
    + Get<Vec<u8>>
    + Get<Option<Vec<u8>>>
{
}

impl<R> SqlRow for R where
    R: Get<String>
        + Get<Option<String>>
        + Get<Exact>
        + Get<Option<Exact>>
        + Get<i32>
        + Get<i64>
        + Get<Option<i64>>
        + Get<bool>
        + Get<Vec<u8>>
        + Get<Option<Vec<u8>>>
{
}

/// A string that somebody else chose and that must come back as it was: text in SQLite, but bytes
/// in Postgres, whose text holds no zero byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact(pub String);

impl Type<Sqlite> for Exact {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl<'r> Decode<'r, Sqlite> for Exact {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        <String as Decode<Sqlite>>::decode(value).map(Self)
    }
}

impl Type<Postgres> for Exact {
    fn type_info() -> PgTypeInfo {
        <Vec<u8> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Exact {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <Vec<u8> as Decode<Postgres>>::decode(value)?;
        Ok(Self(String::from_utf8(bytes)?))
    }
}
