//! S10 of completions that came too early: nothing but the inbox remembers them.

use contracts::order::CompleteOrder;
use contracts::topics::ORDER_COMMANDS;
use messaging::clock::Timestamp;
use messaging::message::Message;
use messaging::store::{Effects, InboxEntry, InboxKey};
use order::domain::Status;

use super::history::{History, complete};
use crate::check::Side;

const PENDING: Option<(Status, i64, i64)> = Some((Status::Pending, 1, 0));

/// The completion x of O1, as the inbox remembers it.
fn remembered(lasting: bool) -> InboxEntry {
    InboxEntry {
        key: InboxKey {
            message_type: CompleteOrder::TYPE.to_owned(),
            key: "O1".to_owned(),
            id: "x".to_owned(),
        },
        content: complete("O1").content(),
        at: Timestamp(50),
        lasting,
    }
}

/// O1 is placed, and completed by command x before it is reserved.
fn too_early(lasting: bool) -> History {
    let mut history = History::begin();
    history.placed();
    history.command(&complete("O1"), "x");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
    turn.order("O1", PENDING, PENDING)
        .with(|effects| effects.inbox.push(remembered(lasting)))
        .commit();
    history
}

/// What came too early comes again after the horizon, and the turn has these effects as well.
fn comes_again(effects: impl FnOnce(&mut Effects)) -> History {
    let mut history = too_early(true);
    let prune = |effects: &mut Effects| effects.prune_inbox_before = Some(Timestamp(100));
    history.turn(Side::Order).with(prune).commit();
    history.command(&complete("O1"), "x");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 2..3);
    turn.with(effects).commit();
    history
}

#[test]
fn s10_what_came_too_early_is_remembered_for_good() {
    assert_eq!(too_early(true).violation(), None);
    assert_eq!(too_early(false).broken(), Some("S10"));
}

#[test]
fn s10_what_is_remembered_for_good_is_known_after_the_horizon() {
    let history = comes_again(|_| {});
    assert_eq!(history.violation(), None);
    assert_eq!(history.checker.counts().duplicates, 1);
}

#[test]
fn s10_what_is_remembered_for_good_is_not_decided_again() {
    let history = comes_again(|effects| effects.inbox.push(remembered(true)));
    assert_eq!(history.broken(), Some("S10"));
}
