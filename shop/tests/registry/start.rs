//! A service and a gateway that are started while the registry is away.

use std::time::Duration;

use contracts::proto::order::Status;
use tokio::time::sleep;

use crate::rate::order;
use crate::real::client::{Answer, Client, What};
use crate::real::dice::Dice;
use crate::real::in_runtime;
use crate::real::process::{READY_MAX, Role};
use crate::world::{Health, World};

/// How long the registry stays away once both wait for it.
const WAITING: Duration = Duration::from_secs(3);
/// How long a call may take that has to wait for nobody.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How long a call may take that has to wait in vain.
const IN_VAIN_MAX: Duration = Duration::from_secs(1);

/// Starts `role` again; it must wait for the registry in `room` and say so.
async fn restart(world: &World, role: Role, room: &str) {
    let mut process = world.process(role).lock().await;
    process.stop().await;
    process.start(None);
    let waits = |health: &Health| health.waits_in(room);
    world.says(role, READY_MAX, waits).await.unwrap();
}

async fn place(client: &mut Client, order_id: &str, deadline: Duration) -> Answer {
    let what = What::Place(order(order_id), Some(Status::Pending));
    let request_id = Dice::new(u64::from(order_id.as_bytes()[0])).uuid();
    let answer = client.send(&request_id.to_string(), &what, deadline).await;
    answer.unwrap()
}

#[test]
fn whoever_is_started_meanwhile_waits_says_so_and_goes_on_by_itself() {
    in_runtime(async {
        let world = World::new();
        world.start().await.unwrap();
        assert!(world.process(Role::Registry).lock().await.stop().await);

        restart(&world, Role::Order, "start").await;
        // Order is not there to be asked what becomes of it; the log is, and takes it.
        let mut client = Client::new(world.url(Role::Gateway));
        let what = What::Place(order("A"), None);
        let request_id = Dice::new(1).uuid().to_string();
        let accepted = client.send(&request_id, &what, CALL_MAX).await;
        assert_eq!(accepted, Ok(Answer::Ok));
        restart(&world, Role::Gateway, "schemas").await;
        let mut client = Client::new(world.url(Role::Gateway));
        let refused = place(&mut client, "B", IN_VAIN_MAX).await;
        assert_eq!(refused, Answer::Fail, "nothing can be written yet");
        sleep(WAITING).await;
        for (role, room) in [(Role::Order, "start"), (Role::Gateway, "schemas")] {
            let health = world.health(role).await.unwrap();
            assert!(health.waits_in(room), "{}: {health:?}", role.name());
        }
        assert!(world.health(Role::Inventory).await.unwrap().is_ready());

        let mut registry = world.process(Role::Registry).lock().await;
        registry.start(None);
        registry.ready().await.unwrap();
        drop(registry);
        for role in [Role::Order, Role::Gateway] {
            world.process(role).lock().await.ready().await.unwrap();
            let health = world.health(role).await.unwrap();
            assert!(health.is_ready(), "{}: {health:?}", role.name());
        }
        assert_eq!(place(&mut client, "A", CALL_MAX).await, Answer::Ok);
        assert_eq!(place(&mut client, "B", CALL_MAX).await, Answer::Ok);
        assert_eq!(world.complaints().await, Vec::<String>::new());
    });
}
