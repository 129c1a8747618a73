//! An audit of a running store: the topics through the log, the rows through the services.
//!
//! Traffic may go on meanwhile. Each pass reads the topics up to their ends, then the services'
//! checkpoints, the rows, the checkpoints again, and what the topics have got meanwhile. An order
//! of which a message may have been applied while its rows were read is read once more; if it is
//! still in flight then, the report says so.

mod log;
mod rows;
mod services;

use std::sync::Arc;

use ::inventory::domain::reservation::Reservation;
use ::order::domain::Order;
use contracts::client::Channel;
use messaging::clock::Clock;
use messaging::log::Log;
use messaging::registry::{self, SchemaRegistry};
use tonic::Status;

use self::log::Topics;
use self::services::Services;
use crate::fold::{Audit, Overflow};
use crate::report::Report;
use crate::scope::Scope;

/// Orders that are asked for by name in one call.
const NAMED_MAX: usize = 1_000;

/// Where a running store is.
#[derive(Clone)]
pub struct Store {
    /// Its log.
    pub log: Arc<dyn Log>,
    /// Its schema registry.
    pub registry: Arc<dyn SchemaRegistry>,
    /// The order service.
    pub order: Channel,
    /// The inventory service.
    pub inventory: Channel,
    /// The time, for the age of outbox rows.
    pub clock: Arc<dyn Clock>,
}

/// How far an audit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being read: `topics`, `orders` or `reservations`.
    pub what: &'static str,
    /// So many of it in this pass.
    pub done: u64,
    /// Of so many; 0 if that is not known.
    pub of: u64,
    /// The pass, from 1.
    pub pass: u64,
    /// Passes, as far as is known.
    pub passes: u64,
}

/// Why an audit cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] messaging::log::Error),
    /// The registry cannot be asked.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The log has no topics of a store.
    #[error("the log has no topic {topic}; is it the log of a store")]
    NoTopic {
        /// The topic that is missing.
        topic: &'static str,
    },
    /// A service cannot be asked.
    #[error("{service}: {}: {}", status.code(), status.message())]
    Service {
        /// `order` or `inventory`.
        service: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
    /// A service answered with a row that no such service has.
    #[error("{service} gave a row that cannot be: {detail}")]
    Row {
        /// `order` or `inventory`.
        service: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

/// Audits a running store, holding at most about `items_max` items at one time
/// ([`crate::fold::ITEMS_MAX`] unless there is a reason); `tell` hears how far it has come.
///
/// # Errors
/// See [`Error`]: when a part of the store cannot be asked. What is wrong with the store is in the
/// report.
pub async fn audit(
    store: Store,
    items_max: usize,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, Error> {
    let topics = Topics::open(Arc::clone(&store.log), Arc::clone(&store.registry)).await?;
    let mut run = Run {
        audit: Audit::new(topics.partitions(), items_max),
        topics,
        services: Services::new(store.order, store.inventory),
        progress: Progress {
            what: "topics",
            done: 0,
            of: 0,
            pass: 0,
            passes: 1,
        },
        tell,
        are_queues_read: false,
    };
    run.stock().await?;
    run.passes().await?;
    run.windows().await?;
    let last = run.services.checkpoints().await?;
    run.topics.extents(&mut run.audit).await?;
    Ok(run.audit.finish(&last, store.clock.now()))
}

struct Run<'t> {
    audit: Audit,
    topics: Topics,
    services: Services,
    progress: Progress,
    tell: &'t mut (dyn FnMut(Progress) + Send),
    /// The first pass reads the queues along with the reservations.
    are_queues_read: bool,
}

/// How a pass ended.
enum Passed {
    Whole,
    Overflow,
}

impl Run<'_> {
    /// Reads the stock between two looks at the topics' ends.
    async fn stock(&mut self) -> Result<(), Error> {
        self.topics.extents(&mut self.audit).await?;
        self.audit.before_stock();
        let audit = &mut self.audit;
        self.services
            .stock(|product, row| audit.stock(product, row))
            .await?;
        let after = self.services.checkpoints().await?;
        self.topics.extents(&mut self.audit).await?;
        self.audit.after_stock(&after.inventory);
        Ok(())
    }

    async fn passes(&mut self) -> Result<(), Error> {
        let mut scopes = self.audit.scopes();
        self.progress.passes = scopes.len() as u64;
        while let Some(scope) = scopes.pop() {
            self.progress.pass += 1;
            match self.pass(scope).await? {
                Passed::Whole => {}
                Passed::Overflow => {
                    scopes.extend(scope.halves().into_iter().flatten());
                    self.progress.passes = self.progress.pass + scopes.len() as u64;
                }
            }
        }
        Ok(())
    }

    async fn pass(&mut self, scope: Scope) -> Result<Passed, Error> {
        self.audit.begin(scope);
        self.topics.rewind();
        self.audit.know(self.services.known().await?);
        if self.read().await?.is_err() {
            return Ok(Passed::Overflow);
        }
        let before = self.services.checkpoints().await?;
        if self.rows().await?.is_err() {
            return Ok(Passed::Overflow);
        }
        self.audit.know(self.services.known().await?);
        let after = self.services.checkpoints().await?;
        if self.read().await?.is_err() {
            return Ok(Passed::Overflow);
        }
        let again = self.audit.judge(&before, &after, false);
        if self.audit.is_open() {
            self.look_again(&again).await?;
        }
        self.audit.end();
        self.are_queues_read = true;
        Ok(Passed::Whole)
    }

    /// Reads the topics to their present ends.
    async fn read(&mut self) -> Result<Result<(), Overflow>, Error> {
        self.topics.extents(&mut self.audit).await?;
        let (progress, tell) = (&mut self.progress, &mut self.tell);
        progress.what = "topics";
        let told = &mut |done, of| {
            (progress.done, progress.of) = (done, of);
            tell(*progress);
        };
        self.topics.read(&mut self.audit, told).await
    }

    /// Reads every row.
    async fn rows(&mut self) -> Result<Result<(), Overflow>, Error> {
        let mut fits = Ok(());
        let (audit, progress, tell) = (&mut self.audit, &mut self.progress, &mut self.tell);
        (progress.what, progress.done, progress.of) = ("orders", 0, 0);
        let order = |row: &Order| {
            progress.done += 1;
            tell(*progress);
            fits = audit.order(row);
            fits.is_ok()
        };
        self.services.orders(Vec::new(), order).await?;
        if fits.is_err() {
            return Ok(fits);
        }
        let read_queues = !self.are_queues_read;
        if read_queues {
            audit.begin_window();
        }
        (progress.what, progress.done) = ("reservations", 0);
        let reservation = |row: &Reservation| {
            progress.done += 1;
            tell(*progress);
            if read_queues {
                audit.waiter(row);
            }
            fits = audit.reservation(row);
            fits.is_ok()
        };
        self.services.reservations(Vec::new(), reservation).await?;
        Ok(fits)
    }

    /// Reads the rows of orders in flight once more, and judges for the last time.
    async fn look_again(&mut self, order_ids: &[String]) -> Result<(), Error> {
        let before = self.services.checkpoints().await?;
        for some in order_ids.chunks(NAMED_MAX) {
            let audit = &mut self.audit;
            // What is known already takes no room.
            let order = |row: &Order| audit.order(row).is_ok();
            self.services.orders(some.to_vec(), order).await?;
            let reservation = |row: &Reservation| audit.reservation(row).is_ok();
            self.services
                .reservations(some.to_vec(), reservation)
                .await?;
        }
        self.audit.know(self.services.known().await?);
        let after = self.services.checkpoints().await?;
        // Nothing overflows any more: only what is known grows.
        let _ = self.read().await?;
        self.audit.judge(&before, &after, true);
        Ok(())
    }

    /// Reads the reservations as often as the queues need it.
    async fn windows(&mut self) -> Result<(), Error> {
        while self.audit.end_window() {
            let audit = &mut self.audit;
            let waiter = |row: &Reservation| {
                audit.waiter(row);
                true
            };
            self.services.reservations(Vec::new(), waiter).await?;
        }
        Ok(())
    }
}
