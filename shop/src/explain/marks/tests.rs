//! Each mark, and when it is not set.

use contracts::order::CompleteOrder;
use contracts::proto::order::Status;

use super::super::facts::Told;
use super::super::given::{Given, cancel, command, place, place_order};
use super::super::timeline::timeline;
use super::*;

/// The marks of the message at `offset` of `topic`.
fn marks(given: Given, topic: &str, offset: i64) -> Vec<Mark> {
    let facts = given.facts();
    let steps = timeline(&facts);
    let here = place(topic, offset);
    let step = steps.iter().find(|step| step.message.place == here);
    step.unwrap().marks.clone()
}

fn first() -> Option<Place> {
    Some(place("order.commands", 0))
}

#[test]
fn an_order_without_incidents_has_no_marks() {
    let facts = Given::reserved("O1").facts();
    let steps = timeline(&facts);
    assert!(steps.iter().all(|step| step.marks.is_empty()), "{steps:?}");
}

#[test]
fn the_same_order_again_is_a_duplicate_under_any_id() {
    for id in ["c1", "c2"] {
        let again = command(1, id, place_order("O1", &[("A", 3)]));
        let given = Given::reserved("O1").said(again);
        assert_eq!(
            marks(given, "order.commands", 1),
            [Mark::Duplicate { of: first() }]
        );
    }
}

#[test]
fn another_order_under_the_same_id_is_a_conflict_with_the_one_that_counts() {
    let other = command(1, "c2", place_order("O1", &[("A", 4)]));
    let given = Given::reserved("O1").said(other);
    assert_eq!(
        marks(given, "order.commands", 1),
        [Mark::Conflict { of: first() }]
    );
}

#[test]
fn what_order_recorded_as_a_conflict_is_one() {
    let again = command(1, "c2", place_order("O1", &[("A", 3)]));
    let given = Given::reserved("O1").said(again).conflict(1);
    assert_eq!(
        marks(given, "order.commands", 1),
        [Mark::Conflict { of: first() }]
    );
}

#[test]
fn when_the_first_order_is_deleted_its_row_tells_duplicates_from_conflicts() {
    for (quantity, mark) in [
        (3, Mark::Duplicate { of: None }),
        (4, Mark::Conflict { of: None }),
    ] {
        let later = command(7, "c2", place_order("O1", &[("A", quantity)]));
        let given = Given::reserved("O1")
            .kept_from("order.commands", 7)
            .said(later);
        assert_eq!(marks(given, "order.commands", 7), [mark]);
    }
}

#[test]
fn a_cancellation_repeated_under_its_id_is_told_by_its_reason() {
    for (reason, mark) in [
        (
            "too late",
            Mark::Duplicate {
                of: Some(place("order.commands", 1)),
            },
        ),
        (
            "too dear",
            Mark::Conflict {
                of: Some(place("order.commands", 1)),
            },
        ),
    ] {
        let given = Given::reserved("O1")
            .said(command(1, "c2", cancel("O1", "too late")))
            .said(command(2, "c2", cancel("O1", reason)));
        assert_eq!(marks(given, "order.commands", 2), [mark]);
    }
}

#[test]
fn an_event_published_again_is_marked_and_one_that_differs_is_told_apart() {
    let again = |bytes: Option<ContentHash>| {
        let given = Given::reserved("O1").facts();
        let event = given
            .messages
            .iter()
            .find(|message| message.place == place("inventory.events", 0));
        let mut event = event.unwrap().clone();
        event.place.offset = 5;
        event.bytes = bytes.unwrap_or(event.bytes);
        Given::reserved("O1").said(event)
    };
    let of = place("inventory.events", 0);
    assert_eq!(
        marks(again(None), "inventory.events", 5),
        [Mark::Republished { of: of.clone() }]
    );
    assert_eq!(
        marks(again(Some(ContentHash([0; 32]))), "inventory.events", 5),
        [Mark::Altered { of }]
    );
}

#[test]
fn a_parked_message_says_who_parked_it_and_why() {
    let given = Given::placed("O1").parked(Service::Inventory, "order.events", &[0]);
    assert_eq!(
        marks(given, "order.events", 0),
        [Mark::Parked {
            service: Service::Inventory,
            reason: "failed".to_owned(),
            detail: "a constraint refused it".to_owned(),
        }]
    );
}

#[test]
fn what_an_operator_did_with_a_message_is_told_in_place_of_its_effect() {
    for outcome in ["discarded", "applied"] {
        let given = Given::reserved("O1")
            .said(command(1, "c2", cancel("O1", "")))
            .handled(1, outcome);
        assert_eq!(
            marks(given, "order.commands", 1),
            [Mark::Handled {
                service: Service::Order,
                operator: "anna".to_owned(),
                reason: "asked by the customer".to_owned(),
                outcome: outcome.to_owned(),
            }]
        );
    }
}

#[test]
fn a_message_that_is_parked_again_is_parked() {
    let given = Given::reserved("O1")
        .said(command(1, "c2", cancel("O1", "")))
        .parked(Service::Order, "order.commands", &[1])
        .handled(1, "parked");
    let marks = marks(given, "order.commands", 1);
    assert!(matches!(marks[..], [Mark::Parked { .. }]), "{marks:?}");
}

#[test]
fn a_placement_that_is_parked_does_not_count() {
    let given = Given::new("O1")
        .said(command(0, "c1", place_order("O1", &[("A", 3)])))
        .said(command(1, "c2", place_order("O1", &[("A", 4)])))
        .parked(Service::Order, "order.commands", &[0]);
    assert_eq!(marks(given, "order.commands", 1), []);
}

#[test]
fn what_the_reader_has_not_come_to_is_unread() {
    let given = Given::placed("O1").read_by(Service::Inventory, 0);
    assert_eq!(
        marks(given, "order.events", 0),
        [Mark::Unread {
            service: Service::Inventory,
            ahead: 0
        }]
    );
    let given = Given::placed("O1")
        .said(command(9, "c2", cancel("O1", "")))
        .read_by(Service::Order, 4);
    assert_eq!(
        marks(given, "order.commands", 9),
        [Mark::Unread {
            service: Service::Order,
            ahead: 5
        }]
    );
}

#[test]
fn what_does_not_concern_the_reader_is_never_unread() {
    let given = Given::reserved("O1").read_by(Service::Inventory, 1);
    assert_eq!(marks(given, "order.events", 1), []);
}

#[test]
fn a_cancellation_before_its_placement_is_early() {
    let given = Given::new("O1").said(command(0, "c1", cancel("O1", "")));
    assert_eq!(marks(given, "order.commands", 0), [Mark::Early]);
    let given = Given::new("O1")
        .said(command(0, "c0", cancel("O1", "")))
        .said(command(1, "c1", place_order("O1", &[("A", 3)])));
    assert_eq!(marks(given, "order.commands", 0), [Mark::Early]);
}

#[test]
fn a_command_that_changed_nothing_says_so_once_all_events_are_in_the_log() {
    let complete = || {
        let order_id = "O1".to_owned();
        command(1, "c2", OrderCommand::Complete(CompleteOrder { order_id }))
    };
    let given = Given::placed("O1").said(complete());
    assert_eq!(marks(given, "order.commands", 1), [Mark::NoEffect]);
    let not_published = Given::placed("O1")
        .said(complete())
        .order(Status::Completed, 3, "");
    assert_eq!(marks(not_published, "order.commands", 1), []);
    let nobody_says = Given::placed("O1").said(complete()).silent(Service::Order);
    assert_eq!(marks(nobody_says, "order.commands", 1), []);
}

#[test]
fn a_version_that_is_missing_is_marked_unless_retention_may_have_deleted_it() {
    let without_first = |given: Given| {
        let mut facts = given.facts();
        let is_first = |message: &Message| message.place == place("order.events", 0);
        facts.messages.retain(|message| !is_first(message));
        let steps = timeline(&facts);
        let second = |message: &Message| message.place == place("order.events", 1);
        let step = steps.iter().find(|step| second(step.message));
        step.unwrap().marks.clone()
    };
    assert_eq!(
        without_first(Given::reserved("O1")),
        [Mark::Gap { expected: 1 }]
    );
    let deleted = Given::reserved("O1").kept_from("order.events", 1);
    assert_eq!(without_first(deleted), []);
}

#[test]
fn a_service_that_says_nothing_leaves_what_the_log_tells() {
    let mut facts = Given::reserved("O1")
        .said(command(1, "c1", place_order("O1", &[("A", 3)])))
        .silent(Service::Order)
        .silent(Service::Inventory)
        .facts();
    facts.order = Told::Unknown("nobody answers".to_owned());
    let steps = timeline(&facts);
    let marked: Vec<_> = steps.iter().filter(|step| !step.marks.is_empty()).collect();
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0].marks, [Mark::Duplicate { of: first() }]);
}
