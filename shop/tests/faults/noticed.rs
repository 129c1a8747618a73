//! The checks notice what they are for: a store edited by hand, and clients that were lied to.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tokio_util::sync::CancellationToken;

use crate::real::check;
use crate::real::client::{Answer, What};
use crate::real::dice::Dice;
use crate::real::load::{History, Load, Sent, THINK_MAX};
use crate::real::process::Role;
use crate::real::topics::Topics;
use crate::real::{in_runtime, proof, settle};
use crate::world::World;

async fn edit(database: &Path, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = options.connect().await.unwrap();
    let done = connection.execute(statement).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
}

async fn offences(world: &World, history: &History) -> Vec<String> {
    let backstage = world.backstage().await;
    let topics = Topics::of(&backstage);
    let snapshot = proof::snapshot(&backstage, &topics, history);
    let snapshot = snapshot.await.unwrap();
    let mut broken = proof::offences(&snapshot.judge());
    broken.extend(check::promises(&snapshot, history));
    broken.extend(check::databases(&backstage).await.unwrap());
    broken
}

fn command(answer: Answer) -> Sent {
    Sent {
        request_id: Dice::new(7).uuid().to_string(),
        what: What::Complete {
            order_id: "ORDER_000000".to_owned(),
        },
        answer,
        tries: 1,
    }
}

/// Checks that `broken` tells of it.
fn assert_told(broken: &[String], invariant: &str, what: &str) {
    assert!(
        broken
            .iter()
            .any(|line| line.starts_with(invariant) && line.contains(what)),
        "{invariant} of {what} is not among {broken:#?}"
    );
}

#[test]
fn what_is_broken_by_hand_is_noticed() {
    in_runtime(async {
        let world = World::new(false);
        world.start().await.unwrap();
        let load = Load::new(vec![world.gateway().await], THINK_MAX);
        let mut dice = Dice::new(1);
        load.stock_up(&mut dice).await;
        let stop = CancellationToken::new();
        let over = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.cancel();
        };
        tokio::join!(load.run(&mut dice, &stop), over);
        settle::settled(&world.backstage().await).await.unwrap();
        let mut history = load.history();
        assert_eq!(offences(&world, &history).await, Vec::<String>::new());

        for role in [Role::Gateway, Role::Order, Role::Inventory] {
            world.process(role).lock().await.stop().await;
        }
        history.sent.push(command(Answer::Ok));
        let known = history
            .sent
            .iter_mut()
            .find(|sent| sent.answer == Answer::Ok && matches!(sent.what, What::Place(..)));
        let lied_to = known.unwrap();
        lied_to.answer = Answer::Fail;
        let lied_to = lied_to.request_id.clone();
        let (order, inventory) = (
            world.database(Role::Order).await,
            world.database(Role::Inventory).await,
        );
        edit(&order, "DELETE FROM orders WHERE order_id = 'ORDER_000001'").await;
        edit(
            &inventory,
            "UPDATE stock SET on_hand = on_hand + 1 WHERE product_id = 'PRODUCT_03'",
        )
        .await;
        let broken = offences(&world, &history).await;
        assert_told(&broken, "F1", &command(Answer::Ok).request_id);
        assert_told(&broken, "F1", &lied_to);
        assert_told(&broken, "F", "ORDER_000001");
        assert_told(&broken, "F4", "PRODUCT_03");
        assert_told(&broken, "S2", "PRODUCT_03");
    });
}
