//! What is poisoned in a run, and what operators do about it: drawn from dice of its own, so that
//! whatever else a seed draws stays as it is.

use std::time::Duration;

use contracts::topics;
use messaging::store::ActionKind;

use crate::check::Side;
use crate::dice::Dice;
use crate::plan::{Event, Garbage, Plan, Request};
use crate::ports::uuid;

/// Runs of 1,000 with poisoned keys.
const POISONED: u32 = 400;

/// What operators do in a run.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    pub(super) acts: Vec<(Duration, Act)>,
    pub(super) dice: Dice,
}

/// What an operator does at one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) side: Side,
    pub(super) what: What,
    /// Another operator does the same at the same time.
    pub(super) twice: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Looks what is parked, and closer at one aggregate.
    List,
    /// Asks for an action on something that is parked.
    Ask(ActionKind),
    /// Asks for an action on something that is not.
    Astray(ActionKind),
}

/// Poisons some keys of `plan`, in some runs, and sends for operators.
pub(crate) fn draw(plan: &mut Plan, mut dice: Dice) {
    if !dice.chance(POISONED) {
        return;
    }
    let mut poisoned = Vec::new();
    for _ in 0..dice.within(2..=8) {
        let victim = &plan.sendings[dice.below(plan.sendings.len())];
        let (at, home) = (victim.at, home(&victim.request));
        for _ in 0..dice.within(1..=3) {
            let at = around(&mut dice, at).min(plan.faults_for);
            poisoned.push((at, poison(&mut dice, home.clone())));
        }
    }
    let mut acts: Vec<_> = (0..dice.within(4..=24))
        .map(|_| {
            let (poisoned_at, _) = poisoned[dice.below(poisoned.len())];
            let at = poisoned_at + dice.millis(0..=15_000);
            (at.min(plan.faults_for), act(&mut dice))
        })
        .collect();
    acts.sort_by_key(|(at, _)| *at);
    plan.events.extend(poisoned);
    plan.events.sort_by_key(|(at, _)| *at);
    plan.shift = Some(Shift { acts, dice });
}

/// Before the message, among those that follow at once, or after them.
fn around(dice: &mut Dice, at: Duration) -> Duration {
    match dice.below(3) {
        0 => at.saturating_sub(dice.millis(0..=2_000)),
        1 => at + dice.millis(0..=200),
        _ => at + dice.millis(0..=10_000),
    }
}

/// A request's key, and the topics where it is one.
fn home(request: &Request) -> (String, &'static [&'static str]) {
    const OF_ORDERS: [&str; 3] = [
        topics::ORDER_COMMANDS,
        topics::INVENTORY_EVENTS,
        topics::ORDER_EVENTS,
    ];
    match request {
        Request::Place(place) => {
            let order = place.order.as_ref();
            let id = order.map(|order| order.order_id.clone());
            (id.unwrap_or_default(), &OF_ORDERS)
        }
        Request::Cancel(cancel) => (cancel.order_id.clone(), &OF_ORDERS),
        Request::Complete(complete) => (complete.order_id.clone(), &OF_ORDERS),
        Request::Receive(receive) => (receive.product_id.clone(), &[topics::INVENTORY_COMMANDS]),
    }
}

fn poison(dice: &mut Dice, (key, topics): (String, &[&'static str])) -> Event {
    Event::Poison {
        topic: dice.of(topics),
        key,
        garbage: dice.of(&[
            Garbage::NoFrame,
            Garbage::NoDatum,
            Garbage::UnknownSchema,
            Garbage::NoEnvelope,
        ]),
        id: uuid(dice),
    }
}

fn act(dice: &mut Dice) -> Act {
    let kinds = [ActionKind::Replay, ActionKind::DryRun, ActionKind::Discard];
    let kind = dice.of(&kinds);
    Act {
        side: dice.of(&[Side::Order, Side::Inventory]),
        what: match dice.below(10) {
            0..=1 => What::List,
            2 => What::Astray(kind),
            _ => What::Ask(kind),
        },
        twice: dice.chance(250),
    }
}
