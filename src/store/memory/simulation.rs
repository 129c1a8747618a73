//! What a simulation does with the store beside the port: look on, delay a commit, put an older
//! copy back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::library::Library;
use super::observer::Observer;
use super::rows::Rows;
use super::tx::{Sequences, Tx};
use super::{MemoryStore, MemoryTurn};
use crate::context::Context;
use crate::store::{Effects, Error, Tables};

/// A copy of everything that was committed at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    library: Library,
    rows: Rows,
    sequences: Sequences,
}

impl<T> MemoryStore<T> {
    /// Tells `observer` of everything that happens from now on, in place of any other.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.database.state().observer = Some(observer);
    }

    /// Copies what is committed.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.database.state();
        Snapshot {
            library: state.library.clone(),
            rows: state.rows.clone(),
            sequences: state.sequences.clone(),
        }
    }

    /// Puts an older copy back, as an operator does with a backup: every transaction that is open,
    /// a late commit included, has lost its connection. The observer is not told.
    pub fn restore(&self, snapshot: Snapshot) {
        let mut state = self.database.state();
        state.locks.lose_all(Instant::now());
        state.library = snapshot.library;
        state.rows = snapshot.rows;
        state.sequences = snapshot.sequences;
    }
}

impl<T: Send + Sync + 'static> MemoryTurn<T> {
    /// As [`crate::store::Turn::commit`], but COMMIT takes the database the time `after`, and its
    /// client does not wait for it: all locks are kept until it lands, whatever becomes of the
    /// client. Must be called within a tokio runtime, which carries the wait.
    ///
    /// # Errors
    /// As the commit's; then nothing lands.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task is the database's own and ends by itself: no client may own it"
    )]
    pub async fn commit_late<C: Context>(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
        after: Duration,
    ) -> Result<(), Error>
    where
        T: Tables<C, Tx>,
    {
        self.save::<C>(state, &effects).await?;
        self.start_landing()?;
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // Only a database that was replaced refuses it, and nobody is left to be told.
            let _ = self.land(effects);
        });
        Ok(())
    }
}
