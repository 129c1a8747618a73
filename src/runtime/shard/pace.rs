//! When a shard begins its next turn.
//!
//! Who waits for a slot gathers messages meanwhile. Where several processes share a database each
//! has fewer shards to wait for one another, and many small turns cost more than few large ones. So
//! a shard that had to wait, and then had little to do, rests for a while. Where there is little to
//! do for all of them nobody waits, and nobody rests.

use std::sync::Arc;

use crate::clock::{Clock, Timestamp};
use crate::limits::{TURN_RECORDS_SMALL, TURN_REST_MAX};
use crate::runtime::shard::alarm::Alarm;
use crate::runtime::slots::{Member, Slot, Slots};

/// A shard's share in the slots of its process.
pub(super) struct Pace {
    slots: Member,
    clock: Arc<dyn Clock>,
    /// How many times as long as it took a small turn is rested after.
    rest_factor: u32,
    /// Held from before a batch is complete until its turn has ended.
    slot: Option<Slot>,
    /// When the last slot was asked for, if none was free.
    waits_since: Option<Timestamp>,
    rest: Alarm,
}

impl Pace {
    pub(super) fn new(slots: &Arc<Slots>, clock: &Arc<dyn Clock>, rest_factor: u32) -> Self {
        Self {
            slots: slots.join(),
            clock: Arc::clone(clock),
            rest_factor,
            slot: None,
            waits_since: None,
            rest: Alarm::default(),
        }
    }

    /// Completes when the rest is over.
    pub(super) async fn rested(&mut self) {
        self.rest.rung().await;
    }

    /// Waits for a slot, in the order of asking, unless one is held.
    pub(super) async fn await_slot(&mut self) {
        if self.slot.is_some() {
            return;
        }
        self.waits_since = None;
        self.slot = self.slots.try_slot();
        if self.slot.is_none() {
            self.waits_since = Some(self.clock.now());
            self.slot = self.slots.slot().await;
        }
    }

    /// The slot, for the turn that begins.
    pub(super) fn take_slot(&mut self) -> Option<Slot> {
        self.slot.take()
    }

    /// A turn about so many records has ended.
    pub(super) fn ended(&mut self, records: usize) {
        let Some(since) = self.waits_since.take() else {
            return;
        };
        if records <= TURN_RECORDS_SMALL {
            let took = self.clock.now().since(since);
            let rest = took.saturating_mul(self.rest_factor).min(TURN_REST_MAX);
            self.rest.set(&self.clock, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use futures::FutureExt;

    use super::*;

    /// Goes on by itself between two looks; no sleep ends.
    struct Ticking(AtomicI64);

    #[async_trait]
    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.fetch_add(10, Ordering::Relaxed))
        }

        async fn sleep(&self, _span: Duration) {
            std::future::pending().await
        }
    }

    /// Whether a shard rests after a turn about so many records, for which it had to wait or not.
    fn rests(waited: bool, records: usize) -> bool {
        let clock: Arc<dyn Clock> = Arc::new(Ticking(AtomicI64::new(0)));
        let slots = Slots::new(1, 2);
        let (other, mut pace) = (slots.join(), Pace::new(&slots, &clock, 6));
        let held = other.try_slot().filter(|_| waited);
        {
            let mut waiting = Box::pin(pace.await_slot());
            assert_eq!(waiting.as_mut().now_or_never().is_none(), waited);
            drop(held);
            assert!(!waited || waiting.now_or_never().is_some());
        }
        assert!(pace.take_slot().is_some());
        pace.ended(records);
        pace.rested().now_or_never().is_none()
    }

    #[test]
    fn a_shard_rests_only_if_it_had_to_wait_and_then_had_little_to_do() {
        assert!(rests(true, TURN_RECORDS_SMALL));
        assert!(!rests(true, TURN_RECORDS_SMALL + 1));
        assert!(!rests(false, 1));
    }
}
