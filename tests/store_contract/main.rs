//! Every adapter of the `Store` port runs the port's contract suite, SQLite what only a file
//! can show, the store in memory what only row locks can, and Postgres what only a server can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::path::Path;

use messaging::store::contract::counter::CounterTables;
use messaging::store::memory::MemoryStore;
use messaging::store::postgres::{Location, PostgresStore, migrate, scratch};
use messaging::store::sqlite::SqliteStore;
use tempfile::TempDir;

mod memory_locks;
mod postgres_open;
mod postgres_rows;
mod postgres_server;
mod sqlite_file;

/// Each rule, once for each adapter.
macro_rules! contract {
    ($($room:ident::$rule:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                let folder = super::TempDir::new().unwrap();
                let store = super::open(&folder.path().join("counter.db")).await;
                messaging::store::contract::$room::$rule(&store).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
            async fn $rule() {
                super::scratch::with(async |location| {
                    let store = super::open_postgres(&location).await;
                    messaging::store::contract::$room::$rule(&store).await;
                    store.close().await;
                })
                .await;
            })*
        }

        mod memory {
            $(#[tokio::test]
            async fn $rule() {
                let store = super::MemoryStore::new(super::CounterTables);
                messaging::store::contract::$room::$rule(&store).await;
            })*
        }
    };
}

contract! {
    turns::an_older_epoch_is_fenced,
    turns::a_refused_claim_takes_nothing_away,
    turns::a_claim_waits_for_the_turn_in_flight,
    turns::a_commit_keeps_everything,
    turns::a_dropped_turn_leaves_nothing,
    turns::a_refused_value_rejects_the_whole_turn,
    turns::a_cursor_moves_from_where_it_stands,
    turns::shards_have_cursors_of_their_own,
    turns::the_number_of_partitions_is_agreed_once,
    turns::reading_does_not_wait_for_a_turn,
    writers::outbox_rows_of_two_writers_appear_in_order,
    writers::a_turn_waits_for_the_one_in_flight,
    writers::who_waits_behind_a_claim_is_fenced,
    outgoing::outbox_rows_are_numbered_in_commit_order,
    outgoing::records_survive_the_outbox,
    outgoing::reading_the_outbox_is_bounded,
    outgoing::published_rows_leave_and_their_position_stays,
    messages::an_inbox_entry_is_made_once,
    messages::the_inbox_remembers_keys_and_content,
    messages::the_inbox_takes_a_whole_batch,
    messages::pruning_the_inbox_is_bounded,
    messages::pruning_leaves_the_rest_for_the_next_turn,
    messages::lasting_entries_are_never_pruned,
    messages::parked_aggregates_are_known,
    messages::conflicts_are_recorded,
    operators::parked_messages_come_in_the_order_of_parking,
    operators::parked_messages_are_listed,
    operators::actions_are_asked_for_where_something_is_parked,
    operators::an_action_is_asked_for_once,
    operators::an_action_is_carried_out_with_its_effects,
    operators::an_action_is_carried_out_once,
    operators::the_trail_keeps_what_was_discarded,
    operators::a_rehearsal_leaves_nothing,
    operators::conflicts_are_listed,
    operators::the_checkpoint_tells_how_far_shards_are,
}

async fn open_postgres(location: &Location) -> PostgresStore<CounterTables> {
    let migrations = CounterTables::postgres_migrations();
    migrate(location, &migrations).await.unwrap();
    PostgresStore::open(location, "test", &migrations, CounterTables)
        .await
        .unwrap()
}

async fn open(path: &Path) -> SqliteStore<CounterTables> {
    SqliteStore::open(path, &CounterTables::migrations(), CounterTables)
        .await
        .unwrap()
}
