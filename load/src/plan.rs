//! What is asked of the store, and how fast.

use std::time::Duration;

/// Orders that may be on their way to an outcome unless told otherwise.
pub const IN_FLIGHT_MAX: u32 = 20_000;

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When the next order is placed.
    pub pace: Pace,
    /// How orders are placed.
    pub way: Way,
    /// When enough is placed.
    pub until: Until,
    /// How many products orders are of.
    pub products: usize,
    /// Exponent of Zipf's law over the products: 0 takes all alike, 1 the second half as often as
    /// the first.
    pub skew: f64,
    /// Share of calls that repeat an earlier order, 0 to 1.
    pub duplicates: f64,
    /// Share of orders that ask for more than there is, and are rejected, 0 to 1.
    pub shortages: f64,
    /// Share of orders that are cancelled once they are acknowledged, 0 to 1.
    pub cancels: f64,
    /// How orders are named.
    pub names: Names,
    /// Whether a call is answered when its order is RESERVED, not when it is accepted.
    pub waits_for_reserved: bool,
    /// Orders that may be on their way to an outcome, at least 1; further ones wait to be placed.
    pub in_flight_max: u32,
    /// What the dice begin with.
    pub seed: u64,
}

/// When the next order is placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// When one of so many callers has its answer.
    Closed {
        /// How many.
        callers: usize,
    },
    /// At its time, whatever became of those before. Latencies count from that time, so that a store
    /// that stands still is not spared the orders that would have come (no coordinated omission).
    Open {
        /// Orders per second.
        per_second: f64,
    },
}

/// How orders are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One call each (`PlaceOrder`).
    Unary,
    /// Over streams (`PlaceOrders`), one per caller.
    Stream,
}

/// When enough is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many calls.
    Orders(u64),
    /// After so long.
    Time(Duration),
}

/// How orders are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// By time (UUIDv7): neighbours in time are neighbours in an index.
    Rising,
    /// At random.
    Random,
}

impl Plan {
    /// Plain orders of so many products, one call each by so many callers: no repetitions, shortages or
    /// cancellations, all products alike, named by time.
    #[must_use]
    pub fn plain(callers: usize, products: usize, until: Until) -> Self {
        Self {
            pace: Pace::Closed { callers },
            way: Way::Unary,
            until,
            products,
            skew: 0.0,
            duplicates: 0.0,
            shortages: 0.0,
            cancels: 0.0,
            names: Names::Rising,
            waits_for_reserved: false,
            in_flight_max: IN_FLIGHT_MAX,
            seed: 1,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Orders of 20 products, as fast as one caller gets answers.
    pub(crate) fn plan() -> Plan {
        Plan::plain(1, 20, Until::Orders(1))
    }
}
