//! Clients: they repeat what was not answered, and remember what they were told.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::edge::{Edge, Outcome};
use crate::plan::{Request, Sending};
use crate::world::World;

/// What a client knows of its request in the end.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) request: Request,
    /// Never [`Outcome::NotNow`]: what was refused at every try has failed.
    pub(crate) outcome: Outcome,
}

/// Sends one request at its time, again and again until it is answered or the client gives up.
pub(crate) async fn send(
    world: Arc<World>,
    edges: Vec<Edge>,
    sending: Sending,
    number: usize,
    mut dice: Dice,
) -> Sent {
    tokio::time::sleep(sending.at).await;
    let name = format!("client-{number}");
    let mut outcome = Outcome::NotNow;
    for attempt in 0..sending.tries {
        let edge = &edges[dice.below(edges.len())];
        let hangs_up = sending.hangs_up.filter(|_| attempt == 0);
        let told = edge
            .call(&sending.request, sending.deadline, hangs_up)
            .await;
        world.trace.note(
            &name,
            format_args!("{}: {told:?}", describe(&sending.request)),
        );
        outcome = match (outcome, told) {
            (_, Outcome::Ok | Outcome::Fail) => told,
            (Outcome::Unknown, _) => Outcome::Unknown,
            (_, told) => told,
        };
        if matches!(told, Outcome::Ok | Outcome::Fail) {
            break;
        }
        let wait = Duration::from_millis(100 << attempt.min(5)) + dice.millis(0..=200);
        tokio::time::sleep(wait).await;
    }
    if outcome == Outcome::NotNow {
        outcome = Outcome::Fail;
    }
    world.count(|counts| match outcome {
        Outcome::Ok => counts.ok += 1,
        Outcome::Unknown => counts.unknown += 1,
        Outcome::NotNow | Outcome::Fail => counts.failed += 1,
    });
    Sent {
        request: sending.request,
        outcome,
    }
}

fn describe(request: &Request) -> String {
    match request {
        Request::Place(place) => {
            let order = place.order.as_ref().map_or("?", |order| &order.order_id);
            format!("place {order}")
        }
        Request::Cancel(cancel) => format!("cancel {}", cancel.order_id),
        Request::Complete(complete) => format!("complete {}", complete.order_id),
        Request::Receive(receive) => format!("receive {}", receive.receipt_id),
    }
}
