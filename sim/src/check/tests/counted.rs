//! C1-C3, and models put back.

use std::sync::Arc;

use contracts::topics::ORDER_COMMANDS;
use messaging::clock::Timestamp;
use messaging::context::{Context, Incoming};
use messaging::envelope::Envelope;
use messaging::shard::Epoch;
use messaging::store::memory::MemoryStore;
use messaging::store::{Effects, Store, Turn};
use order::context::{Loaded, OrderContext};
use order::domain::{Entry, Message, Status};
use order::store::memory::MemoryTables;

use super::history::{History, SHARD, order_placed, place};
use crate::check::{Counts, Observed, Side};

#[test]
fn c1_a_named_point_that_no_crash_has_hit_is_missed() {
    let history = History::begin();
    history.checker.crashed("before commit");
    let missing = history
        .checker
        .counts()
        .missing(&["before commit", "after commit"]);
    assert_eq!(missing[0], "C1: no crash at after commit");
}

#[test]
fn c2_only_a_stale_epoch_counts_as_one_refused() {
    let history = History::begin();
    history.checker.refused(Side::Order, SHARD, Epoch(1));
    assert_eq!(history.checker.counts().stale_refused, 0);
    history.checker.claimed(Side::Order, SHARD, Epoch(2));
    history.checker.refused(Side::Order, SHARD, Epoch(1));
    assert_eq!(history.checker.counts().stale_refused, 1);
}

#[test]
fn c3_what_never_happened_is_missed_and_what_happened_in_any_run_is_not() {
    let mut all = Counts::default();
    assert_eq!(all.missing(&[]).len(), 4);
    for (stale_refused, duplicates) in [(1, 0), (0, 1)] {
        all.absorb(&Counts {
            stale_refused,
            duplicates,
            ..Counts::default()
        });
    }
    assert_eq!(all.missing(&[]).len(), 2);
}

#[test]
fn an_older_copy_of_a_database_comes_with_the_model_of_its_time() {
    let mut history = History::begin();
    history.command(&place("O1"), "c1");
    let saved = history.checker.save(Side::Order);
    for _ in 0..2 {
        let event = history.event(&order_placed("O1", 2));
        history.restart(Side::Order);
        let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
        turn.order("O1", None, Some((Status::Pending, 1, 0)))
            .says("order.events", event)
            .commit();
        assert_eq!(history.violation(), None);
        history.checker.restore(Side::Order, &saved);
    }
}

#[tokio::test]
async fn a_store_in_memory_tells_the_checker_of_each_commit() {
    let history = History::begin();
    let store = MemoryStore::new(MemoryTables);
    store.observe(Arc::new(Observed {
        checker: Arc::clone(&history.checker),
        side: Side::Order,
    }));
    Store::<OrderContext>::claim(&store, SHARD, Epoch(2))
        .await
        .unwrap();
    let mut turn = Store::<OrderContext>::begin(&store, SHARD, Epoch(2))
        .await
        .unwrap();
    let mut state = Turn::<OrderContext>::load(&mut turn, &[]).await.unwrap();
    let entry = Entry::Unknown;
    state.insert("O1".to_owned(), Loaded::Nothing, entry);
    let incoming = Incoming {
        message: Message::Command(place("O1").into()),
        envelope: Envelope::command("c1".to_owned(), "", "", "O1", Timestamp(0)),
        topic: "".into(),
        offset: 0,
    };
    OrderContext::default()
        .decide(&mut state, &incoming)
        .unwrap();
    let effects = Effects::default();
    Turn::<OrderContext>::commit(turn, Some(&state), effects)
        .await
        .unwrap();
    assert_eq!(
        history.broken(),
        Some("S7"),
        "an order that no record has placed"
    );
    assert_eq!(history.checker.counts().commits, 1);
}
