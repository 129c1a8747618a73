//! Where a database is, and never with which password.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

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

    /// What the way to the database leaves open, if it leads out of this machine: without
    /// `sslmode=verify-full` (or `verify-ca`) somebody in between can pose as the database, and with
    /// `prefer`, which is the default, read along as well.
    pub(super) fn weakness(&self) -> Option<String> {
        let options = self.parsed()?;
        let mode = options.get_ssl_mode();
        let is_checked = matches!(mode, PgSslMode::VerifyFull | PgSslMode::VerifyCa);
        let host = options.get_host();
        let is_here = host.starts_with('/')
            || host == "localhost"
            || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        (!is_checked && !is_here).then(|| {
            format!(
                "sslmode={mode:?} does not check who the database is: add \
                 ?sslmode=verify-full&sslrootcert=FILE to its URL"
            )
            .to_lowercase()
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
    fn a_way_that_anybody_can_stand_in_is_told() {
        let weakness = |url: &str| Location::new(url).weakness();
        let told = weakness("postgres://ada@db.example/order").unwrap();
        assert!(told.starts_with("sslmode=prefer does not check"), "{told}");
        assert!(weakness("postgres://ada@db.example/order?sslmode=require").is_some());
        for fine in [
            "postgres://ada@db.example/order?sslmode=verify-full",
            "postgres://ada@127.0.0.1:5433/order",
            "postgres://ada@localhost/order",
        ] {
            assert_eq!(weakness(fine), None, "{fine}");
        }
    }

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
