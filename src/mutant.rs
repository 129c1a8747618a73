//! Broken variants of the runtime and the domain, each behind a switch that only the simulator can
//! turn: a checker that no variant ever fails checks nothing.
//!
//! The switch belongs to the thread: a simulation runs on one. Without the feature `mutants` it is
//! the constant "off".

/// A broken variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Nothing is recognised as a duplicate.
    NoDeduplication,
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

#[cfg(feature = "mutants")]
pub use switch::{Switch, switch_on};

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(super) fn on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// A mutant switched on; dropping it switches it off.
    #[derive(Debug)]
    #[must_use = "dropping it switches the mutant off"]
    pub struct Switch(());

    /// Switches one mutant on for this thread.
    pub fn switch_on(mutant: Mutant) -> Switch {
        ON.set(Some(mutant));
        Switch(())
    }

    impl Drop for Switch {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
