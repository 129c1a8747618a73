//! Waiting for what becomes of an order.

use std::time::Duration;

use contracts::order::PlaceOrder;
use contracts::proto::{Order, WatchOrderRequest, order};
use futures::StreamExt;
use messaging::limits;
use messaging::retry::Backoff;
use tonic::Status;

use crate::placing::Placing;
use crate::queries::OrderQueries;
use crate::request;
use crate::visitor::Visitor;

/// How far along an order is. Statuses of one rank exclude each other: an order that is
/// REJECTED never becomes COMPLETED.
fn rank(status: order::Status) -> u8 {
    match status {
        order::Status::Unspecified => 0,
        order::Status::Pending => 1,
        order::Status::Backordered => 2,
        order::Status::Reserved => 3,
        order::Status::Completed | order::Status::Rejected | order::Status::Cancelled => 4,
    }
}

/// Whether an order in `status` has reached or passed `wait_for`. A terminal order has passed
/// everything: nothing more will come.
fn ends_wait(status: order::Status, wait_for: order::Status) -> bool {
    rank(status) >= rank(wait_for)
}

/// Waits until the order that `placed` asked for has reached or passed `wait_for`, for at most
/// `budget` and not beyond the gateway's shutdown; returns the status so far. The order service
/// may be away meanwhile.
///
/// # Errors
/// ALREADY_EXISTS when the stored order has other content, unless it is another customer's. There is no other error: the command
/// is accepted.
pub(crate) async fn wait(
    placing: &Placing,
    placed: &PlaceOrder,
    wait_for: order::Status,
    visitor: &Visitor,
    budget: Duration,
) -> Result<order::Status, Status> {
    let mut follow = Follow {
        orders: &placing.queries,
        placed,
        wait_for,
        visitor,
        status: order::Status::Pending,
        version: 0,
    };
    let mut backoff = limits::BACKOFF.start();
    let followed = async {
        loop {
            match follow.watch(&mut backoff).await {
                Step::Reached => return Ok(()),
                Step::Conflict => return Err(conflict(placed)),
                Step::Interrupted => placing.pause(&mut backoff).await,
            }
        }
    };
    // When the time runs out there is still a status so far.
    let in_time = tokio::time::timeout(budget, followed);
    if let Some(Ok(outcome)) = placing.shutdown.run_until_cancelled(in_time).await {
        outcome?;
    }
    Ok(follow.status)
}

fn conflict(placed: &PlaceOrder) -> Status {
    Status::already_exists(format!(
        "order {} was placed before with other content; that order stands, this request changes \
         nothing",
        placed.order_id
    ))
}

/// Where following an order stands.
struct Follow<'a> {
    orders: &'a OrderQueries,
    placed: &'a PlaceOrder,
    wait_for: order::Status,
    visitor: &'a Visitor,
    status: order::Status,
    version: i64,
}

/// How one watch ended.
enum Step {
    Reached,
    Conflict,
    Interrupted,
}

impl Follow<'_> {
    /// Watches until the wait is over or the order service goes away.
    async fn watch(&mut self, backoff: &mut Backoff) -> Step {
        let request = WatchOrderRequest {
            order_id: self.placed.order_id.clone(),
            after_version: self.version,
        };
        // An order of another customer is one that is not seen yet.
        let customer_id = self.visitor.subject().map(str::to_owned);
        let watch = self.orders.watch(request, customer_id, self.visitor, None);
        let Ok(mut states) = watch.await else {
            return Step::Interrupted;
        };
        while let Some(Ok(state)) = states.next().await {
            backoff.reset();
            let Some(order) = state.order else { continue };
            if let Some(ended) = self.see(order) {
                return ended;
            }
        }
        Step::Interrupted
    }

    /// Takes a state of the order in; returns how the wait has ended, if it has.
    fn see(&mut self, order: Order) -> Option<Step> {
        self.status = order.status();
        self.version = order.version;
        if request::content(order).content() != self.placed.content() {
            return Some(Step::Conflict);
        }
        ends_wait(self.status, self.wait_for).then_some(Step::Reached)
    }
}

#[cfg(test)]
mod tests {
    use contracts::proto::order::Status;

    use super::*;

    #[test]
    fn a_wait_ends_when_its_status_is_reached_or_passed() {
        let ranked = [
            vec![Status::Pending],
            vec![Status::Backordered],
            vec![Status::Reserved],
            vec![Status::Completed, Status::Rejected, Status::Cancelled],
        ];
        for (at, statuses) in ranked.iter().enumerate() {
            for (until, targets) in ranked.iter().enumerate() {
                for (status, target) in statuses
                    .iter()
                    .flat_map(|status| targets.iter().map(move |target| (*status, *target)))
                {
                    assert_eq!(
                        ends_wait(status, target),
                        at >= until,
                        "{status:?} for {target:?}"
                    );
                }
            }
        }
    }
}
