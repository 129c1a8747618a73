//! Broken variants of the runtime and the domain, each behind a switch that only the simulator can
//! turn: a checker that no variant ever fails checks nothing.
//!
//! Some variants hide behind another line of defence. So such layers can be left out too; that
//! alone must change nothing for the worse, and the simulator shows it.
//!
//! The switches belong to the thread: a simulation runs on one. Without the feature `mutants` they
//! are the constant "off".

/// A broken variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Nothing is recognised as a duplicate.
    NoDeduplication,
    /// The inbox forgets what it must keep for good.
    NothingLasts,
    /// Events are applied whatever version of their source was applied before.
    NoVersionCheck,
    /// A commit moves its cursors wherever they stand.
    NoCompareAndSet,
    /// The same, of commits that move cursors and do nothing else: those of duplicates.
    NoCompareAndSetOfDuplicates,
    /// A turn begins under any epoch.
    NoEpochCheck,
    /// The cursor is committed before what was read is applied.
    CursorFirst,
    /// Events are published before the commit that makes them.
    PublishBeforeCommit,
    /// A publisher leaves alone what an earlier one has left in the outbox.
    NoRepublish,
    /// The outbox is deleted before the log has acknowledged it.
    DeleteBeforePublish,
    /// Stock is read before the book is locked.
    StockBeforeLock,
    /// The last of a queue is served first.
    BackordersOutOfOrder,
    /// What a cancelled order gives back is offered to nobody.
    ReleaseWakesNobody,
    /// The record before the cursor is not compared with the one that was read.
    NoTailCheck,
    /// The database is not compared with the events that its service has published.
    NoDatabaseCheck,
    /// The log acknowledges what it has not yet made durable.
    NoFsync,
    /// A message is applied at once though an earlier one of its aggregate is parked.
    BypassParked,
    /// What a replay has applied stays parked.
    ReplayedStayParked,
    /// The trail does not keep what was discarded.
    DiscardKeepsNothing,
    /// A waiter whose deadline has passed keeps its places in the queues.
    TimeoutKeepsPlace,
    /// Nothing wakes a shard when a deadline passes.
    NoAlarm,
}

impl Mutant {
    /// Every variant.
    pub const ALL: [Self; 21] = [
        Self::NoDeduplication,
        Self::NothingLasts,
        Self::NoVersionCheck,
        Self::NoCompareAndSet,
        Self::NoCompareAndSetOfDuplicates,
        Self::NoEpochCheck,
        Self::CursorFirst,
        Self::PublishBeforeCommit,
        Self::NoRepublish,
        Self::DeleteBeforePublish,
        Self::StockBeforeLock,
        Self::BackordersOutOfOrder,
        Self::ReleaseWakesNobody,
        Self::NoTailCheck,
        Self::NoDatabaseCheck,
        Self::NoFsync,
        Self::BypassParked,
        Self::ReplayedStayParked,
        Self::DiscardKeepsNothing,
        Self::TimeoutKeepsPlace,
        Self::NoAlarm,
    ];
}

/// A line of defence behind another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// After a commit of unknown outcome the cursors are read again.
    Reread,
    /// The inbox remembers ids for as long as they can come again. What it keeps for good it keeps
    /// without this layer too.
    InboxHorizon,
    /// The log makes durable what it acknowledges. Without it what was promised is lost, and that
    /// must be noticed.
    Fsync,
}

/// Whether `mutant` is switched on for this thread.
#[cfg(feature = "mutants")]
#[must_use]
pub fn on(mutant: Mutant) -> bool {
    switch::on(mutant)
}

/// Whether `mutant` is switched on: never, in this build.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline]
pub const fn on(mutant: Mutant) -> bool {
    let _ = mutant;
    false
}

/// Whether `layer` is left out for this thread.
#[cfg(feature = "mutants")]
#[must_use]
pub fn without(layer: Layer) -> bool {
    switch::without(layer)
}

/// Whether `layer` is left out: never, in this build.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline]
pub const fn without(layer: Layer) -> bool {
    let _ = layer;
    false
}

#[cfg(feature = "mutants")]
pub use switch::{Switch, switch_on};

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::{Layer, Mutant};

    thread_local! {
        static ON: Cell<(Option<Mutant>, &'static [Layer])> = const { Cell::new((None, &[])) };
    }

    pub(super) fn on(mutant: Mutant) -> bool {
        ON.get().0 == Some(mutant)
    }

    pub(super) fn without(layer: Layer) -> bool {
        ON.get().1.contains(&layer)
    }

    /// A variant; dropping it makes the thread's programs whole again.
    #[derive(Debug)]
    #[must_use = "dropping it switches everything off"]
    pub struct Switch(());

    /// Switches a mutant on for this thread, or none, and leaves `layers` out, in place of any
    /// earlier switch.
    pub fn switch_on(mutant: Option<Mutant>, layers: &'static [Layer]) -> Switch {
        ON.set((mutant, layers));
        Switch(())
    }

    impl Drop for Switch {
        fn drop(&mut self) {
            ON.set((None, &[]));
        }
    }
}
