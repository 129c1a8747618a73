//! Where a database is, and never with which password.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::store::{Error, ErrorKind};

/// A Postgres database, as `postgres://user:password@host:port/database?options`. Its text forms
/// leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct Location(String);

impl Location {
    /// The database at `url`; whether it is one shows when it is opened, so that nobody has to
    /// print it to say what is wrong.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The same with `key=value` added to the URL's options.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let mark = if self.0.contains('?') { '&' } else { '?' };
        Self(format!("{}{mark}{key}={value}", self.0))
    }

    pub(super) fn options(&self) -> Result<PgConnectOptions, Error> {
        // The parser's own words may repeat what it could not read.
        self.parsed().ok_or_else(|| {
            Error::new(
                ErrorKind::Fatal,
                "open",
                "this is no database URL; write postgres://user:password@host:port/database \
                 (characters other than letters and digits as %XX)",
            )
        })
    }

    fn parsed(&self) -> Option<PgConnectOptions> {
        PgConnectOptions::from_str(&self.0).ok()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(options) = self.parsed() else {
            return f.write_str("postgres://...");
        };
        write!(
            f,
            "postgres://{}@{}:{}/{}",
            options.get_username(),
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default(),
        )
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_it_shows_the_password() {
        for url in [
            "postgres://ada:s3cret@db.example:5433/order",
            "postgres://ada:s3cret@db.example:5433/order?sslmode=require&password=s3cret",
            "postgres://ada:s3/c?ret@db.example:5433/order",
            "postgres://ada:s3cret@db.example:port/order",
        ] {
            let location = Location::new(url);
            let error = location.options().map(drop).err();
            for text in [format!("{location} {location:?}"), format!("{error:?}")] {
                assert!(!text.contains("s3"), "{text}");
            }
        }
        let location = Location::new("postgres://ada:s3cret@db.example:5433/order");
        assert_eq!(location.to_string(), "postgres://ada@db.example:5433/order");
    }
}
