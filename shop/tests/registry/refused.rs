//! A registry in which somebody else has registered a version that does not fit: `shop up` ends, and
//! says why.

use contracts::inventory::StockReserved;
use contracts::order::{OrderPlaced, PlaceOrder};
use evolution::Level;
use messaging::message::Message;

use crate::claim::{assert_told, claim};
use crate::real::in_runtime;
use crate::support::{Up, get};

/// Checks that the whole store refuses to start beside a registry in which somebody else has
/// claimed the subject of `M`, because of `part`.
fn assert_refused<M: Message>(part: &str, level: Level) {
    let registry = Up::start(&["--fresh", "--only", "registry"]);
    let address = registry.address("registry");
    let url = format!("http://{address}");
    let subject = in_runtime(claim::<M>(&url, level));
    let flags = ["--fresh", "--without", "registry", "--listen-registry"];
    let (status, log) = Up::spawn(&[&flags[..], &[address]].concat()).fails();
    assert_eq!(status, 5, "{log}");
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("error"))
        .collect();
    let [line] = told[..] else { panic!("{log}") };
    assert_told(line, &format!("error: {part}"), &url, &subject);
    let versions = get(address, &format!("/subjects/{subject}/versions"));
    assert!(
        versions.ends_with("[1]"),
        "nothing was registered: {versions}"
    );
}

#[test]
fn an_event_that_somebody_else_has_claimed_stops_its_service() {
    for level in [Level::Backward, Level::FullTransitive] {
        assert_refused::<OrderPlaced>("order", level);
        assert_refused::<StockReserved>("inventory", level);
    }
}

#[test]
fn a_command_that_somebody_else_has_claimed_stops_the_gateway() {
    for level in [Level::Backward, Level::FullTransitive] {
        assert_refused::<PlaceOrder>("gateway", level);
    }
}
