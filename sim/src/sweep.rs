//! A fixed scenario, and a crash at every step of every call on a port: before the effect and after
//! it; then at every pair of them. A second one with a deadline that passes, at every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, Order, OrderLine, PlaceOrderRequest,
    ReceiveStockRequest,
};
use contracts::time;
use messaging::clock::Timestamp;

use crate::check::Violation;
use crate::dice::Dice;
use crate::memory::InMemory;
use crate::plan::{Plan, Request, Sending, TIMEOUT_WITHIN};
use crate::run;
use crate::seeds::parallel;
use crate::weather::Weather;
use crate::world::{EPOCH_MS, World};

/// From the beginning until when `HURRY` may be reserved.
const HURRY_WITHIN: Duration = Duration::from_millis(250);

/// What became of a sweep's run.
struct Swept {
    violation: Option<Violation>,
    steps: u64,
    crash_points: BTreeMap<String, u64>,
}

/// Runs the plan, with a crash at each of these steps.
fn crashing(plan: &Plan, crash_at: &[u64]) -> Swept {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(Dice::new(0), plan.partitions, false, crash_at.to_vec());
        let databases = Arc::new(InMemory::new(&world));
        run::simulate(&world, plan, &databases).await;
        Swept {
            violation: world.violation(),
            steps: world.steps(),
            crash_points: world.counts().crash_points,
        }
    })
}

/// Twenty messages: place, duplicate, conflict, backorder, restock, cancel, complete.
fn scenario() -> Plan {
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
    let sendings = (1..).zip(waves).flat_map(|(wave, requests)| {
        let sent = move |request| sending(Duration::from_millis(40) * wave, request);
        requests.into_iter().map(sent)
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

/// The scenario, and an order that is out of time while it waits behind another.
fn scenario_with_deadline() -> Plan {
    let mut plan = scenario();
    let mut hurry = place("HURRY", &[("C", 1)], 13);
    if let Request::Place(hurry) = &mut hurry
        && let Some(order) = hurry.order.as_mut()
    {
        order.reserve_by = Some(time::shown(Timestamp(EPOCH_MS).plus(HURRY_WITHIN)));
    }
    plan.sendings
        .push(sending(Duration::from_millis(90), hurry));
    plan.last_deadline = HURRY_WITHIN + TIMEOUT_WITHIN;
    plan
}

fn place(order: &str, lines: &[(&str, i32)], id: u32) -> Request {
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
}

fn sending(at: Duration, request: Request) -> Sending {
    Sending {
        at,
        request,
        tries: 40,
        deadline: Duration::from_secs(2),
        hangs_up: None,
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

/// Runs the plan once for each set of crashes; tells what failed.
fn sweep(name: &str, plan: &Plan, crashes: &[Vec<u64>]) {
    let swept = parallel(crashes.len(), |index| crashing(plan, &crashes[index]));
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

/// Steps of the plan until it has come to rest.
fn steps(plan: &Plan) -> u64 {
    let whole = crashing(plan, &[]);
    assert_eq!(whole.violation, None);
    whole.steps
}

fn at_every_step(name: &str, plan: &Plan) {
    let steps = steps(plan);
    let crashes: Vec<_> = (0..steps).map(|step| vec![step]).collect();
    let name = format!("{name}: a crash at every one of {steps} steps");
    sweep(&name, plan, &crashes);
}

#[test]
fn a_crash_at_every_step() {
    at_every_step("the scenario", &scenario());
}

#[test]
fn a_crash_at_every_step_around_a_deadline() {
    at_every_step("with a deadline", &scenario_with_deadline());
}

#[test]
#[ignore = "107,416 runs take minutes: .ci/run calls it"]
fn a_crash_at_every_pair_of_steps() {
    let plan = scenario();
    let steps = steps(&plan);
    let pairs = |first| (first + 1..steps).map(move |second| vec![first, second]);
    let crashes: Vec<_> = (0..steps).flat_map(pairs).collect();
    let name = format!("crashes at every pair of {steps} steps");
    sweep(&name, &plan, &crashes);
}
