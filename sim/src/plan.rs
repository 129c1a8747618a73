//! What a seed does: drawn before the run starts.

use std::collections::BTreeMap;
use std::time::Duration;

use ::uuid::Uuid;
use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, Order, OrderLine, PlaceOrderRequest,
    ReceiveStockRequest, order,
};

use contracts::time;
use messaging::clock::Timestamp;

use crate::dice::Dice;
use crate::operator::{self, Shift};
use crate::ports::{STEPS, uuid};
use crate::process::{Chance, Doom, Fate};
use crate::weather::Weather;
use crate::world::EPOCH_MS;

/// Steps that most runs never take: of all steps together they would hardly ever be drawn.
const SELDOM: [&str; 4] = [
    "lease.leave",
    "lease.left",
    "store.parked_of",
    "store.rehearse",
];

/// Deadlines up to here pass in a run; the others are further away than it lasts.
const SOON_MS: i64 = 600_000;
/// How long after its deadline the last waiter has gone.
pub(crate) const TIMEOUT_WITHIN: Duration = Duration::from_secs(5);

/// The lease time of every run.
pub(crate) const LEASE_TIME: Duration = Duration::from_secs(10);

/// One seed's run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) partitions: i32,
    /// Instances per service.
    pub(crate) instances: usize,
    pub(crate) gateways: usize,
    /// How long things go wrong.
    pub(crate) faults_for: Duration,
    pub(crate) weather: Weather,
    pub(crate) sendings: Vec<Sending>,
    pub(crate) events: Vec<(Duration, Event)>,
    /// What the first incarnations of programs meet, by slot.
    pub(crate) first_fates: Vec<(usize, Fate)>,
    /// How often everything is crashed and recovered again at rest (F7).
    pub(crate) recoveries: u32,
    /// When the last of the deadlines passes that pass in this run.
    pub(crate) last_deadline: Duration,
    /// What operators do, in a run with poisoned keys.
    pub(crate) shift: Option<Shift>,
}

/// A request of a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Place(Box<PlaceOrderRequest>),
    Cancel(CancelOrderRequest),
    Complete(CompleteOrderRequest),
    Receive(ReceiveStockRequest),
}

/// When and how a client sends a request.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) at: Duration,
    pub(crate) request: Request,
    /// How often it is sent before the client gives up on an answer.
    pub(crate) tries: u32,
    /// How long each try may take.
    pub(crate) deadline: Duration,
    /// The client hangs up on its first try after this long.
    pub(crate) hangs_up: Option<Duration>,
}

/// What happens to the world.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// To the program in slot number `slot`.
    Fate { slot: usize, fate: Fate },
    /// A program is told to shut down, and is started again.
    Restart { slot: usize },
    /// A program is started a second time under the same name; the first is killed later.
    Twin { slot: usize, for_: Duration },
    /// A process's wall clock jumps by this many milliseconds.
    ClockJump { slot: usize, by_ms: i64 },
    /// The lease's clock jumps.
    LeaseClockJump { by_ms: i64 },
    /// The log is away for a while.
    LogDown { for_: Duration },
    /// Offsets of a partition stay unused.
    Gap {
        topic: &'static str,
        partition: i32,
        count: i64,
    },
    /// Somebody else writes what is not for this store.
    Garbage {
        topic: &'static str,
        garbage: Garbage,
    },
    /// Somebody writes garbage under the key of a real order or product.
    Poison {
        topic: &'static str,
        key: String,
        garbage: Garbage,
        id: Uuid,
    },
}

/// What a foreign producer writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Garbage {
    NoKey,
    NoFrame,
    UnknownSchema,
    WrongPartition,
    NoEnvelope,
    /// The schema is known, the datum is none of it.
    NoDatum,
}

impl Plan {
    /// What `seed` does.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let partitions = i32::try_from(dice.within(2..=4)).unwrap();
        let faults_for = dice.millis(30_000..=90_000);
        let (instances, gateways) = (2, dice.of(&[1, 2]));
        let slots = 2 * instances + gateways;
        let (mut fates, operators) = (dice.aside("first fates"), dice.aside("operators"));
        let mut deadlines = dice.aside("deadlines");
        let mut plan = Self {
            partitions,
            instances,
            gateways,
            faults_for,
            weather: Weather::draw(dice),
            sendings: Vec::new(),
            events: Vec::new(),
            first_fates: Vec::new(),
            recoveries: 2,
            last_deadline: Duration::ZERO,
            shift: None,
        };
        plan.draw_sendings(dice);
        plan.draw_deadlines(&mut deadlines);
        plan.draw_events(dice, slots);
        plan.draw_first_fates(&mut fates);
        operator::draw(&mut plan, operators);
        plan
    }

    /// Programs that start into a named step that they do not survive: some steps are taken then
    /// and never again.
    fn draw_first_fates(&mut self, dice: &mut Dice) {
        let slots = 2 * self.instances + self.gateways;
        for slot in 0..slots {
            if dice.chance(150) {
                let (left, step) = match dice.chance(500) {
                    true => (0, dice.of(&SELDOM)),
                    false => (dice.within(0..=3), dice.of(&STEPS)),
                };
                let fate = Fate {
                    doom: Doom::Crash,
                    left,
                    at: Chance::Named(step),
                };
                self.first_fates.push((slot, fate));
            }
        }
    }

    /// The same without poisoned keys, and so without anybody who clears up.
    pub(crate) fn without_operators(mut self) -> Self {
        self.shift = None;
        self.events
            .retain(|(_, event)| !matches!(event, Event::Poison { .. }));
        self
    }

    /// As many orders as the checks ask for on average.
    pub(crate) fn orders(&self) -> usize {
        let places = self
            .sendings
            .iter()
            .filter_map(|sending| match &sending.request {
                Request::Place(place) => place.order.as_ref().map(|order| &order.order_id),
                _ => None,
            });
        places.collect::<std::collections::BTreeSet<_>>().len()
    }

    fn draw_sendings(&mut self, dice: &mut Dice) {
        let products = dice.of(&[1, 2, 3, 6]);
        let orders = dice.within(30..=60);
        for number in 0..orders {
            self.draw_order(dice, number, products);
        }
        let receipts = dice.within(4..=16);
        for number in 0..receipts {
            self.draw_receipt(dice, number, products);
        }
        self.sendings.sort_by_key(|sending| sending.at);
    }

    fn moment(&self, dice: &mut Dice) -> Duration {
        let end = u64::try_from(self.faults_for.as_millis()).unwrap();
        // Customers come in crowds: batches are where turns get interesting.
        let at = dice.within(1..=end);
        if dice.chance(600) {
            Duration::from_millis(at / 5_000 * 5_000 + dice.within(0..=60))
        } else {
            Duration::from_millis(at)
        }
    }

    fn send(&mut self, dice: &mut Dice, at: Duration, request: Request) {
        let hangs_up = dice.chance(50).then(|| dice.millis(1..=200));
        self.sendings.push(Sending {
            at,
            request,
            tries: u32::try_from(dice.of(&[1, 3, 6, 12])).unwrap(),
            deadline: dice.millis(200..=8_000),
            hangs_up,
        });
    }

    fn draw_order(&mut self, dice: &mut Dice, number: u64, products: usize) {
        let at = self.moment(dice);
        let order_id = format!("ORDER_{number:03}");
        let place = place(dice, &order_id, products);
        self.send(dice, at, Request::Place(Box::new(place.clone())));
        let soon = |dice: &mut Dice| at + dice.millis(0..=5_000);
        if dice.chance(200) {
            let at = if dice.chance(500) { at } else { soon(dice) };
            self.send(dice, at, Request::Place(Box::new(place.clone())));
        }
        if dice.chance(100) {
            let again = PlaceOrderRequest {
                request_id: uuid(dice).to_string(),
                ..place.clone()
            };
            let at = soon(dice);
            self.send(dice, at, Request::Place(Box::new(again)));
        }
        if dice.chance(150) {
            let mut other = place.clone();
            if dice.chance(500) {
                other.request_id = uuid(dice).to_string();
            }
            let order = other.order.as_mut().unwrap();
            order.lines[0].quantity += 1;
            let at = if dice.chance(500) { at } else { soon(dice) };
            self.send(dice, at, Request::Place(Box::new(other)));
        }
        self.draw_ends(dice, at, &order_id);
    }

    /// Some orders have a deadline: mostly one that passes in this run, or one that only a clock reaches
    /// that has jumped ahead, or one that no clock does. A request that repeats another one's order may
    /// have another deadline, which is a conflict.
    fn draw_deadlines(&mut self, dice: &mut Dice) {
        let mut known: BTreeMap<String, Option<i64>> = BTreeMap::new();
        for sending in &mut self.sendings {
            let Request::Place(place) = &mut sending.request else {
                continue;
            };
            let Some(order) = place.order.as_mut() else {
                continue;
            };
            let fresh = draw_deadline(dice, sending.at);
            let deadline = *known.entry(order.order_id.clone()).or_insert(fresh);
            let deadline = if dice.chance(30) { fresh } else { deadline };
            let from_start = deadline.map(|deadline| deadline - EPOCH_MS);
            if let Some(soon @ 0..SOON_MS) = from_start {
                let passes = Duration::from_millis(soon.unsigned_abs());
                self.last_deadline = self.last_deadline.max(passes + TIMEOUT_WITHIN);
            }
            order.reserve_by = deadline.map(|deadline| time::shown(Timestamp(deadline)));
        }
    }

    /// What is asked of an order beside its placement: in any order, also before it.
    fn draw_ends(&mut self, dice: &mut Dice, placed_at: Duration, order_id: &str) {
        let around = |dice: &mut Dice| {
            let at = placed_at + dice.millis(0..=20_000);
            at.saturating_sub(Duration::from_millis(if dice.chance(200) {
                10_000
            } else {
                0
            }))
        };
        if dice.chance(250) {
            let cancel = CancelOrderRequest {
                request_id: uuid(dice).to_string(),
                order_id: order_id.to_owned(),
                reason: "changed my mind".to_owned(),
            };
            let at = around(dice);
            self.send(dice, at, Request::Cancel(cancel.clone()));
            if dice.chance(300) {
                let mut other = cancel.clone();
                if dice.chance(300) {
                    other.reason = "another reason".to_owned();
                }
                let at = around(dice);
                self.send(dice, at, Request::Cancel(other));
            }
        }
        if dice.chance(400) {
            let complete = CompleteOrderRequest {
                request_id: uuid(dice).to_string(),
                order_id: order_id.to_owned(),
            };
            let at = around(dice);
            self.send(dice, at, Request::Complete(complete.clone()));
            if dice.chance(200) {
                let at = around(dice);
                self.send(dice, at, Request::Complete(complete));
            }
        }
    }

    fn draw_receipt(&mut self, dice: &mut Dice, number: u64, products: usize) {
        let receive = ReceiveStockRequest {
            receipt_id: format!("RECEIPT_{number:03}"),
            product_id: product(dice, products),
            quantity: i32::try_from(dice.within(1..=30)).unwrap(),
        };
        let at = self.moment(dice);
        self.send(dice, at, Request::Receive(receive.clone()));
        if dice.chance(200) {
            let mut other = receive.clone();
            if dice.chance(400) {
                other.quantity += 1;
            }
            let at = self.moment(dice);
            self.send(dice, at, Request::Receive(other));
        }
    }

    fn draw_events(&mut self, dice: &mut Dice, slots: usize) {
        let events = dice.within(4..=14);
        for _ in 0..events {
            let at = self.moment(dice);
            let event = self.draw_event(dice, slots);
            self.events.push((at, event));
        }
        self.events.sort_by_key(|(at, _)| *at);
    }

    fn draw_event(&self, dice: &mut Dice, slots: usize) -> Event {
        let slot = dice.below(slots);
        let partition =
            i32::try_from(dice.below(usize::try_from(self.partitions).unwrap())).unwrap();
        match dice.below(20) {
            0..=8 => Event::Fate {
                slot,
                fate: fate(dice, Doom::Crash),
            },
            9..=11 => {
                let lease_times = u32::try_from(dice.within(1..=10)).unwrap();
                let pause = Doom::Pause(LEASE_TIME * lease_times + dice.millis(0..=2_000));
                Event::Fate {
                    slot,
                    fate: fate(dice, pause),
                }
            }
            12 => Event::Restart { slot },
            13 => Event::Twin {
                slot,
                for_: dice.millis(1_000..=30_000),
            },
            14 => Event::ClockJump {
                slot,
                by_ms: hour(dice),
            },
            15 => Event::LeaseClockJump { by_ms: hour(dice) },
            16 => Event::LogDown {
                for_: dice.millis(100..=10_000),
            },
            17 => Event::Gap {
                topic: dice.of(&contracts::topics::ALL),
                partition,
                count: i64::try_from(dice.within(1..=5)).unwrap(),
            },
            _ => Event::Garbage {
                topic: dice.of(&contracts::topics::ALL),
                garbage: dice.of(&[
                    Garbage::NoKey,
                    Garbage::NoFrame,
                    Garbage::UnknownSchema,
                    Garbage::WrongPartition,
                    Garbage::NoEnvelope,
                ]),
            },
        }
    }
}

/// The deadline of an order that is placed `at`.
fn draw_deadline(dice: &mut Dice, at: Duration) -> Option<i64> {
    let placed = EPOCH_MS + i64::try_from(at.as_millis()).unwrap();
    let span = |dice: &mut Dice, range| i64::try_from(dice.within(range)).unwrap();
    match dice.below(20) {
        0 => Some(placed - span(dice, 0..=60_000)),
        1..=6 => Some(placed + span(dice, 100..=40_000)),
        7 => Some(placed + span(dice, 1_500_000..=3_000_000)),
        8 => Some(placed + span(dice, 300_000_000..=400_000_000)),
        _ => None,
    }
}

fn hour(dice: &mut Dice) -> i64 {
    let off = i64::try_from(dice.within(0..=120_000)).unwrap();
    dice.of(&[3_600_000, -3_600_000]) + off
}

fn fate(dice: &mut Dice, doom: Doom) -> Fate {
    let at = dice.of(&[Chance::Poll, Chance::Step]);
    let left = dice.within(
        0..=match at {
            Chance::Poll => 150,
            Chance::Step | Chance::Named(_) => 60,
        },
    );
    Fate { doom, left, at }
}

fn product(dice: &mut Dice, products: usize) -> String {
    format!("PRODUCT_{}", dice.below(products))
}

fn place(dice: &mut Dice, order_id: &str, products: usize) -> PlaceOrderRequest {
    let mut names: Vec<String> = (0..dice.within(1..=3))
        .map(|_| product(dice, products))
        .collect();
    names.sort_unstable();
    names.dedup();
    let lines = names.into_iter().map(|product_id| OrderLine {
        product_id,
        quantity: i32::try_from(dice.within(1..=6)).unwrap(),
        unit_price_minor: i64::try_from(dice.within(1..=999)).unwrap(),
    });
    let mut order = Order {
        order_id: order_id.to_owned(),
        customer_id: format!("CUSTOMER_{}", order_id.len()),
        currency: "GBP".to_owned(),
        lines: lines.collect(),
        ..Order::default()
    };
    if dice.chance(150) {
        order.set_on_shortage(order::OnShortage::Reject);
    }
    PlaceOrderRequest {
        request_id: uuid(dice).to_string(),
        order: Some(order),
        wait_for: None,
    }
}
