//! What one connection has of what all of them share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Calls by how they are answered; each kind has places of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With one message.
    Call,
    /// With a stream.
    Stream,
}

/// The calls of one connection. Requests carry it as an extension.
#[derive(Clone, Debug, Default)]
pub(super) struct Share(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: usize,
    streams: usize,
    /// Answers that wait for their client to take them, oldest first, with the time they were given.
    untaken: BTreeMap<u64, Instant>,
    next: u64,
}

impl State {
    fn in_flight(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Call => &mut self.calls,
            Kind::Stream => &mut self.streams,
        }
    }
}

impl Share {
    /// A place for one more call of `kind` among `places`, unless none is free, or this connection has more
    /// than are left for all others: a few connections cannot hold every place (dynamic thresholds;
    /// Choudhury and Hahne, 1998).
    pub(super) fn take(&self, kind: Kind, places: &Arc<Semaphore>) -> Option<Place> {
        let permit = Arc::clone(places).try_acquire_owned().ok()?;
        let mut state = self.state();
        let in_flight = state.in_flight(kind);
        if *in_flight > places.available_permits() {
            return None;
        }
        *in_flight += 1;
        Some(Place {
            share: self.clone(),
            kind,
            answer: None,
            _permit: permit,
        })
    }

    /// Completes when an answer other than a stream has not been taken for `max`, at the latest after
    /// twice that time.
    pub(super) async fn stalled(&self, max: Duration) {
        loop {
            let oldest = self.state().untaken.values().next().copied();
            if oldest.is_some_and(|since| since.elapsed() >= max) {
                return;
            }
            tokio::time::sleep_until(oldest.unwrap_or_else(Instant::now) + max).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    share: Share,
    kind: Kind,
    answer: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// The answer has begun: from now on its client is waited for.
    pub(super) fn answered(&mut self) {
        // Whoever reads a stream may take its time.
        if self.kind == Kind::Call {
            let mut state = self.share.state();
            let number = state.next;
            state.next += 1;
            state.untaken.insert(number, Instant::now());
            self.answer = Some(number);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.share.state();
        *state.in_flight(self.kind) -= 1;
        if let Some(answer) = self.answer {
            state.untaken.remove(&answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(count))
    }

    #[test]
    fn a_connection_has_no_more_than_it_leaves_for_others() {
        let places = places(16);
        let greedy = [Share::default(), Share::default(), Share::default()];
        let mut held: Vec<_> = Vec::new();
        for _ in 0..16 {
            let taken = greedy.iter().map(|one| one.take(Kind::Call, &places));
            held.extend(taken.flatten());
        }
        assert_eq!(held.len(), 12, "three have four each, and four are left");
        let newcomer = Share::default();
        assert!(newcomer.take(Kind::Call, &places).is_some());
        held.clear();
        assert_eq!(places.available_permits(), 16);
        assert!(greedy[0].take(Kind::Call, &places).is_some());
    }

    #[test]
    fn one_place_is_enough_for_one_call() {
        let places = places(1);
        let one = Share::default();
        let taken = one.take(Kind::Stream, &places).unwrap();
        assert!(one.take(Kind::Stream, &places).is_none());
        drop(taken);
        assert!(one.take(Kind::Stream, &places).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_that_is_not_taken_stalls_a_connection() {
        let max = Duration::from_secs(30);
        let share = Share::default();
        let places = places(8);
        let mut stream = share.take(Kind::Stream, &places).unwrap();
        stream.answered();
        let _under_way = share.take(Kind::Call, &places).unwrap();
        let stalled = tokio::time::timeout(10 * max, share.stalled(max));
        assert!(stalled.await.is_err());
        let mut call = share.take(Kind::Call, &places).unwrap();
        call.answered();
        let begun = Instant::now();
        share.stalled(max).await;
        assert!(begun.elapsed() >= max && begun.elapsed() < 2 * max);
        drop(call);
        let stalled = tokio::time::timeout(10 * max, share.stalled(max));
        assert!(stalled.await.is_err());
    }
}
