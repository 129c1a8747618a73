//! The physical limits of a store: what each thing that an order takes would do alone, with nothing
//! around it. A figure of the store beside them tells how much is lost to the store itself.
//!
//! | room | what is measured there |
//! |---|---|
//! | [`calls`] | the same calls through tonic, to a handler that does nothing |
//! | [`log`] | the same records through the same log, with no services |
//! | [`disk`] | how often the disk syncs |
//! | [`messages`] | nothing: the records that an order leaves in the log |
//! | [`meter`] | nothing: the warm-up, the period, the rate |
//!
//! The fourth limit is the database's. Its tables belong to the services, which this crate does not
//! know, so whoever does measures it, by the same [`meter`].

use std::fmt;

use messaging::{codec, log as port, registry, server};
use serde::Serialize;
use tokio::task::JoinError;
use tonic::{Status, transport};

pub mod calls;
pub mod disk;
pub mod log;
pub mod messages;
pub mod meter;

pub use calls::Calls;
pub use disk::Disk;
pub use log::Appends;

/// Why a limit cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log refuses the records.
    #[error(transparent)]
    Log(#[from] port::Error),
    /// A call to the handler that does nothing has failed.
    #[error("a call to the empty handler: {0}")]
    Call(Box<Status>),
    /// The handler that does nothing cannot be served.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// Nor can it be reached.
    #[error("no connection to the empty handler: {0}")]
    Connection(#[from] transport::Error),
    /// A message does not fit its schema.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// A schema cannot be registered.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The disk cannot be written or synced.
    #[error("the disk: {0}")]
    Disk(#[from] std::io::Error),
    /// The database refuses the rows.
    #[error("the database: {0}")]
    Database(Box<dyn std::error::Error + Send + Sync>),
    /// A task of the measurement has panicked.
    #[error("a task of the measurement: {0}")]
    Task(#[from] JoinError),
    /// What is measured has ended before its time.
    #[error("what is measured has ended before its time")]
    Ended,
}

/// The rows of an order through the database alone, in ideal batches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Database {
    /// `sqlite` or `postgres`.
    pub kind: &'static str,
    /// Orders per second whose rows both services' databases have taken.
    pub orders_per_second: f64,
    /// Transactions per second, of both databases together.
    pub transactions_per_second: f64,
}

/// All limits of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Calls through tonic.
    pub grpc: Calls,
    /// Records through the log.
    pub log: Appends,
    /// Rows through the database.
    pub database: Database,
    /// Syncs of the disk; no limit of its own, but below the other two.
    pub disk: Disk,
    /// Orders per second if each took the three one after the other on the same processors:
    /// 1 / (1/gRPC + 1/log + 1/database).
    pub combined_orders_per_second: f64,
}

/// One of the limits that bind a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Calls through tonic.
    Grpc,
    /// Records through the log.
    Log,
    /// Rows through the database.
    Database,
}

/// A rate of orders beside the limits that were measured in the same run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// The limits.
    #[serde(flatten)]
    pub limits: Limits,
    /// The rate as a share of them.
    pub share_of: Shares,
    /// The lowest of the limits.
    pub binds: Limit,
}

/// A rate of orders as a share of each limit; 1 is the limit itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shares {
    /// Of the calls through tonic.
    pub grpc: f64,
    /// Of the records through the log.
    pub log: f64,
    /// Of the rows through the database.
    pub database: f64,
    /// Of the three together.
    pub combined: f64,
}

impl Limits {
    /// The limits as they were measured.
    #[must_use]
    pub fn new(grpc: Calls, log: Appends, database: Database, disk: Disk) -> Self {
        let combined = combined([
            grpc.calls_per_second,
            log.orders_per_second,
            database.orders_per_second,
        ]);
        Self {
            grpc,
            log,
            database,
            disk,
            combined_orders_per_second: combined,
        }
    }

    /// `orders_per_second` of a store beside its limits.
    #[must_use]
    pub fn beside(self, orders_per_second: f64) -> Beside {
        let share = |limit: f64| orders_per_second / limit.max(f64::EPSILON);
        let share_of = Shares {
            grpc: share(self.grpc.calls_per_second),
            log: share(self.log.orders_per_second),
            database: share(self.database.orders_per_second),
            combined: share(self.combined_orders_per_second),
        };
        Beside {
            binds: self.lowest(),
            limits: self,
            share_of,
        }
    }

    /// The limit that binds first.
    fn lowest(&self) -> Limit {
        let mut lowest = (Limit::Grpc, self.grpc.calls_per_second);
        for (limit, rate) in [
            (Limit::Log, self.log.orders_per_second),
            (Limit::Database, self.database.orders_per_second),
        ] {
            if rate < lowest.1 {
                lowest = (limit, rate);
            }
        }
        lowest.0
    }
}

/// The rate of what takes every step one after the other, of those of each step alone; 0 if a step
/// stands still.
fn combined(rates: [f64; 3]) -> f64 {
    let seconds: f64 = rates.into_iter().map(f64::recip).sum();
    seconds.recip()
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "gRPC",
            Self::Log => "log",
            Self::Database => "database",
        })
    }
}

impl fmt::Display for Limits {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            grpc,
            log,
            database,
            disk,
            ..
        } = self;
        writeln!(f, "limits, each alone")?;
        for (name, rate, told) in [
            ("gRPC", grpc.calls_per_second, grpc.to_string()),
            ("log", log.orders_per_second, log.to_string()),
            ("database", database.orders_per_second, database.to_string()),
            ("combined", self.combined_orders_per_second, String::new()),
            ("fsync", disk.syncs_per_second, disk.to_string()),
        ] {
            let line = format!("{name:<10} {rate:>9.0} per second  {told}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            transactions_per_second: transactions,
            ..
        } = self;
        write!(f, "{kind}, {transactions:.0} transactions per second")
    }
}

impl fmt::Display for Beside {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares {
            grpc,
            log,
            database,
            combined,
        } = self.share_of;
        write!(f, "{}", self.limits)?;
        writeln!(
            f,
            "shares     {:.0} % of gRPC, {:.0} % of the log, {:.0} % of the database, \
             {:.0} % of the three combined; the lowest is the limit of {}",
            100.0 * grpc,
            100.0 * log,
            100.0 * database,
            100.0 * combined,
            self.binds
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Limits of 60, 30 and 20 thousand per second.
    pub(crate) fn limits() -> Limits {
        Limits::new(
            Calls {
                calls_per_second: 60_000.0,
                ..calls::tests::calls()
            },
            Appends {
                orders_per_second: 30_000.0,
                records_per_order: 4.0,
                bytes_per_order: 1_800.0,
            },
            Database {
                kind: "sqlite",
                orders_per_second: 20_000.0,
                transactions_per_second: 120.0,
            },
            Disk {
                syncs_per_second: 1_000.0,
                p50_us: 900.0,
                p99_us: 2_000.0,
            },
        )
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn what_takes_all_steps_takes_the_time_of_all_of_them() {
        // 1/60 + 1/30 + 1/20 = 1/10.
        assert_near(limits().combined_orders_per_second, 10_000.0);
        assert_near(combined([3.0, 3.0, 3.0]), 1.0);
        assert!(combined([60_000.0, 30_000.0, 0.0]).abs() < f64::EPSILON);
    }

    #[test]
    fn a_rate_is_told_as_a_share_of_each_limit() {
        let Beside {
            share_of, binds, ..
        } = limits().beside(6_000.0);
        assert_near(share_of.grpc, 0.1);
        assert_near(share_of.log, 0.2);
        assert_near(share_of.database, 0.3);
        assert_near(share_of.combined, 0.6);
        assert_eq!(binds, Limit::Database);
    }

    #[test]
    fn the_lowest_limit_binds_whichever_it_is() {
        let mut limits = limits();
        limits.log.orders_per_second = 19_000.0;
        assert_eq!(limits.clone().beside(1.0).binds, Limit::Log);
        limits.grpc.calls_per_second = 18_000.0;
        assert_eq!(limits.beside(1.0).binds, Limit::Grpc);
    }

    #[test]
    fn people_read_rates_and_shares() {
        let told = limits().beside(6_000.0).to_string();
        for part in [
            "gRPC           60000 per second",
            "log            30000 per second",
            "database       20000 per second  sqlite, 120 transactions per second",
            "combined       10000 per second\n",
            "60 % of the three combined; the lowest is the limit of database",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
}
