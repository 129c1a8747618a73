//! How many orders per second, by instances and partitions, and what binds.
//!
//! ```console
//! $ cargo test --release -p shop --test cluster orders_per_second -- --ignored --nocapture
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::many::{PRODUCTS, place_by, receive_all};
use crate::place::variable;
use crate::real::backstage::SERVICES;
use crate::real::database::Database;
use crate::real::in_runtime;
use crate::real::process::Role;
use crate::world::{Name, World};

/// Orders of one measurement; this and what follows unless a variable says otherwise.
const ORDERS: usize = 20_000;
/// Calls in flight: so many that what binds is the machine.
const CALLERS: usize = 256;
/// Until the instances have shared the shards among themselves.
const SHARED: Duration = Duration::from_secs(6);
/// How long one measurement may take.
const MEASUREMENT_MAX: Duration = Duration::from_secs(300);
/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(100);
/// What the kernel counts a process's time in.
const TICKS_PER_SECOND: f64 = 100.0;

#[test]
#[ignore = "a measurement: by hand, in release, with servers: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up)"]
fn orders_per_second() {
    let orders = chosen("SCALING_ORDERS", &[ORDERS])[0];
    let callers = chosen("SCALING_CALLERS", &[CALLERS])[0];
    println!("{orders} orders from {callers} callers; seconds of CPU of each kind of process");
    println!("instances partitions  accepted/s  reserved/s  turns  CPU");
    for partitions in chosen("SCALING_PARTITIONS", &[1, 4, 16]) {
        for instances in chosen("SCALING_INSTANCES", &[1, 2, 4]) {
            let world = World::of_size(instances, partitions);
            let row = in_runtime(async {
                let measuring = measure(&world, instances, orders, callers);
                timeout(MEASUREMENT_MAX, measuring).await
            });
            let row = row.expect("a measurement ends in time");
            println!(
                "{instances:>9} {partitions:>10} {:>11.0} {:>11.0} {:>6.0}  {}",
                orders as f64 / row.accepted.as_secs_f64(),
                orders as f64 / row.reserved.as_secs_f64(),
                row.turns,
                row.cpu
            );
        }
    }
}

struct Row {
    /// Until the last order was accepted.
    accepted: Duration,
    /// Until the last order was reserved.
    reserved: Duration,
    /// Of all instances of both services.
    turns: f64,
    cpu: String,
}

/// The numbers in a variable, or those of a whole measurement.
fn chosen<N: Copy + FromStr<Err: Debug>>(name: &str, all: &[N]) -> Vec<N> {
    match std::env::var(name) {
        Ok(numbers) => numbers.split(',').map(|n| n.parse().unwrap()).collect(),
        Err(_) => all.to_vec(),
    }
}

async fn measure(world: &World, instances: usize, orders: usize, callers: usize) -> Row {
    let mut names: Vec<Name> = vec![(Role::Registry, 1), (Role::Gateway, 1)];
    names.extend((1..=instances).flat_map(|number| SERVICES.map(|role| (role, number))));
    world.start(&names).await.unwrap();
    let backstage = world.backstage();
    let mut inventory = backstage.database(Role::Inventory).await.unwrap();
    let mut order = backstage.database(Role::Order).await.unwrap();
    let endpoint = Endpoint::from_shared(world.gateways().remove(0)).unwrap();
    let channel: Channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
    receive_all(channel.clone()).await;
    reach(&mut inventory, "SELECT count(*) FROM stock", PRODUCTS).await;
    sleep(SHARED).await;

    let mut server = server().await;
    let before = cpu(world, &names, &mut server).await;
    let turns_before = turns(world, &names).await;
    let start = Instant::now();
    place_by(callers, channel, orders).await;
    let accepted = start.elapsed();
    let reserved = "SELECT count(*) FROM orders WHERE status = 'RESERVED'";
    reach(&mut order, reserved, orders).await;
    let reserved = start.elapsed();
    let after = cpu(world, &names, &mut server).await;
    let turns = turns(world, &names).await - turns_before;
    world.stop(&names).await;
    let used = after.iter().map(|(who, after)| {
        let used = after - before.get(who).unwrap_or(&0.0);
        format!("{who} {used:.1}")
    });
    Row {
        accepted,
        reserved,
        turns,
        cpu: used.collect::<Vec<_>>().join(", "),
    }
}

/// Waits until a query counts to `number`.
async fn reach(database: &mut Database, query: &'static str, number: usize) {
    while database.number(query).await.unwrap() < i64::try_from(number).unwrap() {
        sleep(LOOK).await;
    }
}

async fn turns(world: &World, names: &[Name]) -> f64 {
    let mut sum = 0.0;
    for &name in names.iter().filter(|name| SERVICES.contains(&name.0)) {
        sum += world.counter(name, "turns_total").await;
    }
    sum
}

async fn server() -> PgConnection {
    let options: PgConnectOptions = variable("MESSAGING_TEST_POSTGRES").parse().unwrap();
    options.connect().await.unwrap()
}

/// Seconds of CPU of each kind of process so far.
async fn cpu(
    world: &World,
    names: &[Name],
    server: &mut PgConnection,
) -> BTreeMap<&'static str, f64> {
    let mut used = BTreeMap::new();
    for &name in names {
        let id = world.process(name).lock().await.id().unwrap();
        *used.entry(name.0.name()).or_default() += seconds(id);
    }
    let sessions: Vec<(i32,)> = sqlx::query_as("SELECT pid FROM pg_stat_activity")
        .fetch_all(server)
        .await
        .unwrap();
    let sessions = sessions.iter().map(|(id,)| u32::try_from(*id).unwrap());
    used.insert("postgres", sessions.map(seconds).sum());
    used.insert("kafka", brokers().into_iter().map(seconds).sum());
    used.insert("callers", seconds(std::process::id()));
    used
}

/// The processes of the brokers.
fn brokers() -> Vec<u32> {
    let directory = variable("MESSAGING_TEST_KAFKA_DIR");
    let files = (1..=3).map(|node| Path::new(&directory).join(format!("{node}/pid")));
    let ids = files.filter_map(|file| std::fs::read_to_string(file).ok());
    ids.map(|id| id.trim().parse().unwrap()).collect()
}

/// What a process has used; nothing once it has ended.
fn seconds(id: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // After the name, which may hold blanks: the 12th and 13th are its own time.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}
