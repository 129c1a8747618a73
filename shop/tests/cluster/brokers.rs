//! Brokers of the log are stopped and killed, leaders first.

use std::process::Command;
use std::time::Duration;

use tokio::time::sleep;

use crate::instances::two_of_each;
use crate::leader;
use crate::place::variable;
use crate::run::{Size, Stage, run};
use crate::support::checkout;

/// Between two events, with everybody at work.
const QUIET: Duration = Duration::from_secs(5);
/// Longer than a broker that was killed stays leader (9 s).
const GONE: Duration = Duration::from_secs(12);
/// A broker that is back catches up, and is in sync again.
const BACK: Duration = Duration::from_secs(8);
/// The brokers' numbers.
const BROKERS: [i32; 3] = [1, 2, 3];

#[test]
#[ignore = "needs servers: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)"]
fn brokers_come_and_go() {
    run(Size::SHORT, &two_of_each(), stop_and_start);
}

#[test]
#[ignore = "needs servers, and minutes: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)"]
fn brokers_come_and_go_during_20_000_orders() {
    run(Size::LONG, &two_of_each(), stop_and_start);
}

/// # Errors
/// With what could not be done.
async fn stop_and_start(stage: &Stage) -> Result<(), String> {
    for broker in BROKERS {
        // Whatever an earlier test has left.
        script("start", broker).await;
    }
    stage.during("all brokers", QUIET).await;

    for (how, gone) in [("stop", QUIET), ("kill", GONE)] {
        let leader = leader_of_orders().await?;
        stage.event(&format!("the leader: {how}"));
        script(how, leader).await;
        sleep(gone).await;
        let successor = leader_of_orders().await?;
        stage.tell(format!(
            "broker {leader} led order.commands/0, then broker {successor}"
        ));
        stage.event("the leader is back");
        script("start", leader).await;
        sleep(BACK).await;
    }
    for broker in BROKERS {
        stage.event(&format!("broker {broker} is restarted"));
        script("stop", broker).await;
        sleep(QUIET).await;
        script("start", broker).await;
        sleep(BACK).await;
    }
    Ok(())
}

/// Who leads a partition that every order of it passes.
///
/// # Errors
/// When no broker knows.
async fn leader_of_orders() -> Result<i32, String> {
    for address in variable("MESSAGING_TEST_KAFKA").split(',') {
        if let Ok(Some(leader)) = leader::of(address, "order.commands", 0).await {
            return Ok(leader);
        }
    }
    Err("no broker says who leads order.commands/0".to_owned())
}

/// Has something done to a broker, off the threads of the test.
async fn script(what: &'static str, broker: i32) {
    let doing = tokio::task::spawn_blocking(move || {
        let mut script = Command::new(checkout("tests/kafka"));
        script.args([what, &broker.to_string()]);
        script.env(
            "MESSAGING_TEST_KAFKA_DIR",
            variable("MESSAGING_TEST_KAFKA_DIR"),
        );
        script.status().unwrap()
    });
    let status = doing.await.unwrap();
    assert!(status.success(), "tests/kafka {what} {broker} failed");
}
