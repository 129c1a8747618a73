//! Orders on their way: accepted or about to be, without an outcome yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The orders on their way, and the room for more.
pub(crate) struct Flight {
    room: Arc<Semaphore>,
    orders: Mutex<HashMap<String, Aloft>>,
}

/// An order on its way; it holds its place until it is dropped.
pub(crate) struct Aloft {
    /// When it was placed, or should have been.
    pub(crate) since: Instant,
    _place: OwnedSemaphorePermit,
}

impl Flight {
    /// Room for so many.
    pub(crate) fn new(in_flight_max: u32) -> Self {
        Self {
            room: Arc::new(Semaphore::new(in_flight_max as usize)),
            orders: Mutex::default(),
        }
    }

    /// Waits for room.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// An order sets out.
    pub(crate) fn enter(&self, order_id: &str, since: Instant, place: OwnedSemaphorePermit) {
        let aloft = Aloft {
            since,
            _place: place,
        };
        self.orders().insert(order_id.to_owned(), aloft);
    }

    /// An order has its outcome, or will never have one; `None` if it is not on its way.
    pub(crate) fn leave(&self, order_id: &str) -> Option<Aloft> {
        self.orders().remove(order_id)
    }

    /// How many are on their way.
    pub(crate) fn count(&self) -> usize {
        self.orders().len()
    }

    fn orders(&self) -> MutexGuard<'_, HashMap<String, Aloft>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_leaves_makes_room() {
        let flight = Flight::new(1);
        let place = flight.room().await.unwrap();
        flight.enter("A", Instant::now(), place);
        assert!(flight.room().now_or_never().is_none());
        assert_eq!(flight.count(), 1);
        assert!(flight.leave("A").is_some());
        assert!(flight.leave("A").is_none());
        assert!(flight.room().now_or_never().is_some());
    }
}
