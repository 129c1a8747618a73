//! One change of one message type, with producers and consumers of both ages.

use std::fmt;

use evolution::files::{History, Version};
use evolution::history;
use order::domain::Status;
use serde_json::Value;

use crate::changes::{Change, Side};
use crate::edition::{Beyond, Edition, Kind};
use crate::shop::{Part, Shop, placement};

/// Before a change, or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Old,
    New,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

impl Change {
    pub(crate) fn side(&self, age: Age) -> &Side {
        match age {
            Age::Old => &self.old,
            Age::New => &self.new,
        }
    }

    pub(crate) fn edition(&self, kind: Kind, age: Age) -> Edition {
        let Side { text, writes, .. } = self.side(age).clone();
        let mut registration = kind.today();
        registration.schema = text;
        Edition {
            registration,
            writes,
        }
    }

    /// What stands against it by the rules that a release has to keep.
    pub(crate) fn complaints(&self, kind: Kind) -> Vec<String> {
        let version = |(number, text): (u32, &str)| Version {
            number,
            file: format!("v{number}.avsc").into(),
            text: text.to_owned(),
            golden_file: format!("v{number}.bin").into(),
            golden: None,
        };
        let versions = (1..).zip([self.old.text, self.new.text]);
        let history = History {
            name: kind.today().message_type.to_owned(),
            versions: versions.map(version).collect(),
        };
        let complaints = history::check(&history).into_iter();
        complaints.map(|complaint| complaint.to_string()).collect()
    }
}

/// What a change does to the schema of today.
pub(crate) type Make = fn(&str) -> Change;

/// The change is allowed, and makes no difference to orders whoever is of which age.
pub(crate) async fn both_ways(name: &str, make: Make, kinds: &[Kind]) {
    let what = name.replace('_', " ");
    for kind in kinds {
        let change = make(kind.today().schema);
        assert_eq!(change.complaints(*kind), [""; 0], "{what}: {kind:?}");
        between(&what, &change, *kind).await;
    }
}

/// Runs with an old producer and a new consumer, and with a new producer and an old consumer; prints a
/// line of each.
pub(crate) async fn between(what: &str, change: &Change, kind: Kind) {
    for (producer, consumer) in [(Age::Old, Age::New), (Age::New, Age::Old)] {
        let outcome = run(change, kind, producer, consumer).await;
        println!(
            "{what}: {kind:?} | {} {producer} | {} {consumer} | {outcome}",
            kind.producer(),
            kind.consumer()
        );
    }
}

/// Two orders, one whose writers use all that their edition has and one whose writers know only
/// today's fields; returns what came of them.
async fn run(change: &Change, kind: Kind, producer: Age, consumer: Age) -> String {
    const PRODUCTS: [&str; 2] = ["P1", "P2"];
    let mut shop = Shop::new().await;
    for part in [Part::Client, Part::Order, Part::Inventory] {
        let mut editions = Vec::new();
        if part == kind.producer() {
            editions.push(change.edition(kind, producer));
        }
        if part == kind.consumer() {
            editions.push(change.edition(kind, consumer));
        }
        shop.start(part, editions).await;
    }
    for product in PRODUCTS {
        shop.stock(product, 10).await;
    }
    let orders = ["O-FULL", "O-PLAIN"];
    for order_id in orders {
        shop.place(order_id, &PRODUCTS).await;
    }
    for order_id in orders {
        let order = shop.reaches(order_id, Status::Reserved).await;
        assert_eq!(order.placed, placement(order_id, &PRODUCTS));
    }
    let today = kind.expected("O-FULL", &PRODUCTS);
    let written = shop.bus.written(kind.today(), "O-FULL").await;
    let writes = change.side(producer).writes.set_in(today.clone());
    assert!(holds(&written, &writes), "{written} without {writes}");
    let reads = &change.side(consumer).reads;
    assert_eq!(read(&shop, kind, "O-FULL"), reads.set_in(today));
    let plain = read(&shop, kind, "O-PLAIN");
    let today = kind.expected("O-PLAIN", &PRODUCTS);
    assert!(holds(&plain, &today), "{plain} without {today}");
    assert_eq!(shop.trouble().await, [""; 0]);
    shop.stop_all().await;
    format!("both orders RESERVED, nothing parked; {}", found(reads))
}

fn read(shop: &Shop, kind: Kind, order_id: &str) -> Value {
    let read = shop.seen.of(kind.today().message_type, order_id);
    read.expect("the consumer has read it by its own schema")
}

/// Whether `value` has everything that `part` has.
fn holds(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => part.iter().all(|(name, part)| {
            let value = value.get(name);
            value.is_some_and(|value| holds(value, part))
        }),
        (Value::Array(values), Value::Array(parts)) => {
            let mut pairs = values.iter().zip(parts);
            values.len() == parts.len() && pairs.all(|(value, part)| holds(value, part))
        }
        _ => value == part,
    }
}

fn found(reads: &Beyond) -> String {
    let of_message = reads.message.iter();
    let of_message = of_message.map(|(name, value)| format!("{name} = {value}"));
    let of_lines = reads.line.iter();
    let of_lines = of_lines.map(|(name, value)| format!("lines[].{name} = {value}"));
    let found: Vec<_> = of_message.chain(of_lines).collect();
    match found.is_empty() {
        true => "reads today's fields".to_owned(),
        false => format!("reads {}", found.join(", ")),
    }
}
