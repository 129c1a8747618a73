//! A fixed scenario, and a crash at every step of every call on a port: before the effect and after
//! it; then at every pair of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, Order, OrderLine, PlaceOrderRequest,
    ReceiveStockRequest,
};

use crate::check::Violation;
use crate::dice::Dice;
use crate::memory::InMemory;
use crate::plan::{Plan, Request, Sending};
use crate::run;
use crate::seeds::parallel;
use crate::weather::Weather;
use crate::world::World;

/// What became of a sweep's run.
struct Swept {
    violation: Option<Violation>,
    steps: u64,
    crash_points: BTreeMap<String, u64>,
}

/// Runs the scenario, with a crash at each of these steps.
fn scenario_with(crash_at: &[u64]) -> Swept {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let plan = scenario();
        let world = World::new(Dice::new(0), plan.partitions, false, crash_at.to_vec());
        let databases = Arc::new(InMemory::new(&world));
        run::simulate(&world, &plan, &databases).await;
        Swept {
            violation: world.violation(),
            steps: world.steps(),
            crash_points: world.counts().crash_points,
        }
    })
}

/// Twenty messages: place, duplicate, conflict, backorder, restock, cancel, complete.
fn scenario() -> Plan {
    let place = |order: &str, lines: &[(&str, i32)], id: u32| {
        Request::Place(Box::new(PlaceOrderRequest {
            request_id: request_id(id),
            order: Some(Order {
                order_id: order.to_owned(),
                customer_id: "CUSTOMER".to_owned(),
                currency: "GBP".to_owned(),
                lines: lines.iter().map(line).collect(),
                ..Order::default()
            }),
            wait_for: None,
        }))
    };
    let cancel = |order: &str, id| {
        Request::Cancel(CancelOrderRequest {
            request_id: request_id(id),
            order_id: order.to_owned(),
            reason: String::new(),
        })
    };
    let complete = |order: &str, id| {
        Request::Complete(CompleteOrderRequest {
            request_id: request_id(id),
            order_id: order.to_owned(),
        })
    };
    let receive = |receipt: &str, product: &str, quantity| {
        Request::Receive(ReceiveStockRequest {
            receipt_id: receipt.to_owned(),
            product_id: product.to_owned(),
            quantity,
        })
    };
    let waves = [
        vec![
            receive("R1", "A", 5),
            receive("R2", "B", 2),
            receive("R1", "A", 5),
            cancel("EARLY", 1),
        ],
        vec![
            place("O1", &[("A", 2), ("B", 1)], 2),
            place("O1", &[("A", 2), ("B", 1)], 2),
            place("O1", &[("A", 3)], 3),
            place("O2", &[("A", 3)], 4),
            place("O3", &[("A", 2), ("B", 1)], 5),
            place("O4", &[("C", 1)], 6),
            place("EARLY", &[("A", 1)], 7),
        ],
        vec![
            cancel("O2", 8),
            cancel("O2", 8),
            complete("O1", 9),
            receive("R3", "A", 1),
            place("O5", &[("A", 9)], 10),
        ],
        vec![
            complete("O1", 9),
            receive("R4", "A", 9),
            complete("O3", 11),
            cancel("O5", 12),
        ],
    ];
    let sendings = (0_u32..).zip(waves).flat_map(|(wave, requests)| {
        requests.into_iter().map(move |request| Sending {
            at: Duration::from_millis(40) * (wave + 1),
            request,
            tries: 40,
            deadline: Duration::from_secs(2),
            hangs_up: None,
        })
    });
    Plan {
        partitions: 2,
        instances: 1,
        gateways: 1,
        faults_for: Duration::from_millis(200),
        weather: Weather::default(),
        sendings: sendings.collect(),
        events: Vec::new(),
        first_fates: Vec::new(),
        recoveries: 0,
        last_deadline: Duration::ZERO,
        shift: None,
    }
}

fn line((product, quantity): &(&str, i32)) -> OrderLine {
    OrderLine {
        product_id: (*product).to_owned(),
        quantity: *quantity,
        unit_price_minor: 100,
    }
}

fn request_id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Runs the scenario once for each set of crashes; tells what failed.
fn sweep(name: &str, crashes: &[Vec<u64>]) {
    let swept = parallel(crashes.len(), |index| scenario_with(&crashes[index]));
    let mut points: BTreeMap<String, u64> = BTreeMap::new();
    for (point, count) in swept.iter().flat_map(|swept| &swept.crash_points) {
        *points.entry(point.clone()).or_default() += count;
    }
    println!(
        "{name}: {} runs; crashes by step: {points:?}",
        crashes.len()
    );
    let failed: Vec<_> = crashes
        .iter()
        .zip(&swept)
        .filter_map(|(at, swept)| Some((at, swept.violation.as_ref()?)))
        .collect();
    for (at, violation) in failed.iter().take(20) {
        println!("crash at {at:?}: {violation}");
    }
    assert!(failed.is_empty(), "{} runs of {name} failed", failed.len());
}

/// Steps of the scenario until it has come to rest.
fn steps() -> u64 {
    let whole = scenario_with(&[]);
    assert_eq!(whole.violation, None);
    whole.steps
}

#[test]
fn a_crash_at_every_step() {
    let steps = steps();
    let crashes: Vec<_> = (0..steps).map(|step| vec![step]).collect();
    sweep(&format!("a crash at every one of {steps} steps"), &crashes);
}

#[test]
#[ignore = "107,416 runs take minutes: .ci/run calls it"]
fn a_crash_at_every_pair_of_steps() {
    let steps = steps();
    let pairs = |first| (first + 1..steps).map(move |second| vec![first, second]);
    let crashes: Vec<_> = (0..steps).flat_map(pairs).collect();
    sweep(&format!("crashes at every pair of {steps} steps"), &crashes);
}
