//! The database behind the stores: what is committed, and who is writing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::library::Library;
use super::locks::{Asked, Lock, Locks, Lost, Timeouts, TxId};
use super::observer::Observer;
use super::rows::Rows;
use super::tx::Sequences;
use crate::store::{Error, ErrorKind};

/// One database; stores, transactions and readers share it.
#[derive(Debug, Default)]
pub(super) struct Database {
    state: Mutex<State>,
}

/// All that a database holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) library: Library,
    pub(super) rows: Rows,
    pub(super) sequences: Sequences,
    pub(super) locks: Locks,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl Database {
    pub(super) fn within(timeouts: Timeouts) -> Self {
        let state = State {
            locks: Locks::within(timeouts),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// The state as one instant sees it. Nothing is awaited while it is held.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement is on its way: others may run first. It fails if its transaction is over.
    pub(super) async fn statement(
        &self,
        id: TxId,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, State>, Error> {
        tokio::task::yield_now().await;
        self.arrive(id, operation)
    }

    /// The end of [`Database::statement`], for callers that have let others run.
    pub(super) fn arrive(
        &self,
        id: TxId,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.state();
        match state.locks.arrive(id, Instant::now()) {
            Ok(()) => Ok(state),
            Err(lost) => Err(failed(operation, lost)),
        }
    }

    /// One statement that locks `wanted`, one after the other, until the transaction ends.
    pub(super) async fn lock(
        &self,
        id: TxId,
        operation: &'static str,
        wanted: &[Lock],
    ) -> Result<(), Error> {
        drop(self.statement(id, operation).await?);
        for lock in wanted {
            self.wait_for(id, lock)
                .await
                .map_err(|lost| failed(operation, lost))?;
        }
        Ok(())
    }

    async fn wait_for(&self, id: TxId, lock: &Lock) -> Result<(), Lost> {
        loop {
            let asked = self.state().locks.ask(id, lock, Instant::now())?;
            let Asked::Wait { woken, until } = asked else {
                return Ok(());
            };
            tokio::select! {
                biased;
                () = woken.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

fn failed(operation: &'static str, lost: Lost) -> Error {
    Error::new(ErrorKind::Retry, operation, lost)
}
