//! Each thing that an order can wait for, and what is said when not everybody answers.

use contracts::order::CompleteOrder;

use super::super::facts::Extent;
use super::super::given::{Given, cancel, command, place_order};
use super::super::timeline::timeline;
use super::*;

/// What is said at the end.
fn said(given: Given) -> Vec<String> {
    let facts = given.facts();
    let waiting = verdict(&facts, &timeline(&facts));
    waiting.iter().map(Waiting::to_string).collect()
}

#[test]
fn an_order_that_has_ended_waits_for_nothing() {
    let given = Given::reserved("O1").order(Status::Rejected, 2, "OUT_OF_STOCK: A");
    let given = given.reservation("REFUSED", &[], &[]);
    assert_eq!(said(given), ["waits for nothing: REJECTED is final"]);
}

#[test]
fn a_reserved_order_waits_for_people() {
    assert_eq!(
        said(Given::reserved("O1")),
        ["waits for nothing here: its stock is held until somebody completes or cancels it"]
    );
}

#[test]
fn a_backordered_order_waits_for_stock_at_its_place() {
    assert_eq!(
        said(Given::backordered("O1", 2, 4)),
        ["waits for stock of A: 2 available, 3 needed; position 4 in the queue, and nobody passes"]
    );
    assert_eq!(
        said(Given::backordered("O1", 2, 1)),
        ["waits for stock of A: 2 available, 3 needed; it is the first in the queue"]
    );
}

#[test]
fn without_inventory_a_backordered_order_waits_for_what_it_was_short_of() {
    assert_eq!(
        said(Given::backordered("O1", 2, 4).silent(Service::Inventory)),
        ["waits for stock of A: available unknown, 3 needed; position in the queue unknown"]
    );
}

#[test]
fn a_pending_order_waits_for_inventory_to_read_its_placement() {
    assert_eq!(
        said(Given::placed("O1").read_by(Service::Inventory, 0)),
        ["waits for inventory, which has not read order.events/3@0 yet; it is the next one"]
    );
}

#[test]
fn a_pending_order_waits_for_an_inventory_that_is_down() {
    assert_eq!(
        said(Given::placed("O1").silent(Service::Inventory)),
        [
            "waits for inventory to read order.events/3@0, and nobody answers at \
             http://inventory.test:8901"
        ]
    );
}

#[test]
fn an_answer_that_order_has_not_read_is_waited_for() {
    let mut facts = Given::reserved("O1")
        .order(Status::Pending, 1, "")
        .read_by(Service::Order, 0)
        .facts();
    facts
        .messages
        .retain(|message| message.place != super::super::given::place("order.events", 1));
    let waiting = verdict(&facts, &timeline(&facts));
    let first = waiting[0].to_string();
    assert!(
        first.starts_with("waits for order, which has not read order.commands/3@0 yet"),
        "{first}"
    );
}

#[test]
fn what_is_decided_and_not_in_the_log_is_waited_for() {
    let mut facts = Given::placed("O1").facts();
    facts.messages.retain(|message| message.cause.is_none());
    let waiting = verdict(&facts, &timeline(&facts));
    assert_eq!(
        waiting[0].to_string(),
        "waits for order to publish what it has decided; 2 batches in its outbox"
    );
    let answered = Given::placed("O1").reservation("HELD", &[], &[]);
    assert_eq!(
        said(answered),
        ["waits for inventory to publish what it has decided; 2 batches in its outbox"]
    );
}

#[test]
fn a_parked_message_names_its_place_and_the_command_to_see_it() {
    let given = Given::placed("O1")
        .said(command(1, "c2", cancel("O1", "")))
        .said(command(2, "c3", cancel("O1", "")))
        .parked(Service::Order, "order.commands", &[1, 2]);
    assert_eq!(
        said(given),
        [
            "waits for an operator: order set order.commands/3@1 aside (failed: a constraint \
             refused it), and 1 more behind it; run: shop parked show order.commands/3@1"
        ]
    );
}

#[test]
fn an_order_whose_placement_is_parked_waits_for_an_operator_only() {
    let given = Given::new("O1")
        .said(command(0, "c1", place_order("O1", &[("A", 3)])))
        .parked(Service::Order, "order.commands", &[0]);
    let said = said(given);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("waits for an operator"), "{said:?}");
}

#[test]
fn an_order_that_order_has_not_read_waits_for_it() {
    let given = Given::new("O1")
        .said(command(7, "c1", place_order("O1", &[("A", 3)])))
        .read_by(Service::Order, 2);
    assert_eq!(
        said(given),
        ["waits for order, which has not read order.commands/3@7 yet; 5 records stand before it"]
    );
}

#[test]
fn an_order_waits_for_a_service_that_is_down() {
    let given = Given::new("O1")
        .said(command(0, "c1", place_order("O1", &[("A", 3)])))
        .silent(Service::Order);
    assert_eq!(
        said(given),
        [
            "waits for order to read order.commands/3@0, and nobody answers at \
             http://order.test:8902"
        ]
    );
    assert_eq!(
        said(Given::reserved("O1").silent(Service::Order)),
        ["cannot be judged: order does not answer at http://order.test:8902"]
    );
}

#[test]
fn a_service_that_answers_only_some_questions_is_quoted() {
    let mut facts = Given::reserved("O1").facts();
    facts.order = Told::Unknown("UNAVAILABLE: try again".to_owned());
    let waiting = verdict(&facts, &timeline(&facts));
    assert_eq!(
        waiting[0].to_string(),
        "cannot be judged: UNAVAILABLE: try again"
    );
}

#[test]
fn a_cancellation_alone_waits_for_nothing() {
    let given = Given::new("O1").said(command(0, "c1", cancel("O1", "")));
    assert_eq!(
        said(given),
        ["waits for nothing: it was never placed; if it is, it is cancelled at once"]
    );
    let order_id = "O1".to_owned();
    let complete = OrderCommand::Complete(CompleteOrder { order_id });
    let given = Given::new("O1").said(command(0, "c1", complete));
    assert_eq!(said(given), ["waits for nothing: it was never placed"]);
}

#[test]
fn an_end_that_inventory_has_not_heard_of_is_said_beside_it() {
    let mut facts = Given::reserved("O1")
        .order(Status::Cancelled, 3, "")
        .facts();
    facts
        .extents
        .insert("order.events", Extent::Read { first: 0, next: 2 });
    let waiting = verdict(&facts, &timeline(&facts));
    let said: Vec<_> = waiting.iter().map(Waiting::to_string).collect();
    assert_eq!(
        said,
        [
            "waits for order to publish what it has decided; 2 batches in its outbox",
            "waits for nothing: CANCELLED is final",
        ]
    );
}

#[test]
fn facts_that_contradict_each_other_call_for_an_audit() {
    let lost = Given::new("O1").said(command(0, "c1", place_order("O1", &[("A", 3)])));
    assert_eq!(
        said(lost),
        [
            "cannot go on by itself: order has read order.commands/3@0 and does not know the \
             order; run: shop audit"
        ]
    );
    let not_held = Given::reserved("O1").reservation("RELEASED", &[], &[]);
    assert_eq!(
        said(not_held),
        ["cannot go on by itself: inventory's reservation is RELEASED; run: shop audit"]
    );
}
