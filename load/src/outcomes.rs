//! The orders' outcomes, from the log: what Order tells everybody.

use std::sync::Arc;

use contracts::topics::ORDER_EVENTS;
use messaging::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX};
use messaging::log::{self, Log, ReadLimit, Record};
use tokio::task::JoinSet;

use crate::Error;
use crate::flight::Flight;
use crate::tally::{Outcome, Tally};

/// A reader of one partition of Order's events.
struct Reader {
    log: Arc<dyn Log>,
    partition: i32,
    next: i64,
}

/// Follows Order's events from now on, as tasks in `readers`; a task ends with the log's failure.
///
/// # Errors
/// When the log cannot be asked, or has no such topic.
pub(crate) async fn follow(
    log: &Arc<dyn Log>,
    flight: &Arc<Flight>,
    tally: &Arc<Tally>,
    readers: &mut JoinSet<log::Error>,
) -> Result<(), Error> {
    let partitions = log.partitions(ORDER_EVENTS).await?.ok_or(Error::NoTopic)?;
    for partition in 0..partitions {
        let bounds = log.bounds(ORDER_EVENTS, partition).await?;
        let reader = Reader {
            log: Arc::clone(log),
            partition,
            next: bounds.next,
        };
        readers.spawn(reader.follow(Arc::clone(flight), Arc::clone(tally)));
    }
    Ok(())
}

impl Reader {
    async fn follow(mut self, flight: Arc<Flight>, tally: Arc<Tally>) -> log::Error {
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max: FETCH_WAIT_MAX,
        };
        loop {
            let read = self
                .log
                .read(ORDER_EVENTS, self.partition, self.next, limit);
            let batch = match read.await {
                Ok(batch) => batch,
                Err(error) => return error,
            };
            for consumed in &batch.records {
                self.next = consumed.offset + 1;
                take(&consumed.record, &flight, &tally);
            }
        }
    }
}

/// Counts the outcome that a record tells, if it is the first of an order on its way. Nothing is
/// decoded: key and type are all that is needed.
fn take(record: &Record, flight: &Flight, tally: &Tally) {
    let named = record.headers.iter().find(|(name, _)| name == "ce_type");
    let outcome = named.and_then(|(_, message_type)| Outcome::of_event(message_type));
    let order_id = record
        .key
        .as_deref()
        .and_then(|key| std::str::from_utf8(key).ok());
    let (Some(outcome), Some(order_id)) = (outcome, order_id) else {
        return;
    };
    if let Some(aloft) = flight.leave(order_id) {
        tally.settled(outcome, aloft.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use messaging::clock::Timestamp;
    use tokio::time::Instant;

    use super::*;

    fn event(order_id: &'static str, message_type: &'static str) -> Record {
        Record {
            key: Some(order_id.into()),
            value: None,
            headers: vec![("ce_type".into(), message_type.into())],
            timestamp: Timestamp(0),
        }
    }

    #[tokio::test]
    async fn the_first_outcome_of_an_own_order_counts() {
        let (flight, tally) = (Flight::new(10), Tally::default());
        for order_id in ["A", "B"] {
            let place = flight.room().await.unwrap();
            flight.enter(order_id, Instant::now(), place);
        }
        for (order_id, message_type) in [
            ("A", "shop.order.OrderPlaced"),
            ("A", "shop.order.OrderBackordered"),
            ("A", "shop.order.OrderReserved"),
            ("A", "shop.order.OrderReserved"),
            ("A", "shop.order.OrderCancelled"),
            ("OTHER", "shop.order.OrderReserved"),
            ("B", "shop.order.OrderRejected"),
        ] {
            take(&event(order_id, message_type), &flight, &tally);
        }
        let outcomes = tally.so_far().outcomes;
        assert_eq!(outcomes[&Outcome::Reserved], 1);
        assert_eq!(outcomes[&Outcome::Rejected], 1);
        assert_eq!(outcomes.len(), 2);
        assert_eq!(flight.count(), 0);
    }
}
