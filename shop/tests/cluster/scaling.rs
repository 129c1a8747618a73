//! How many orders per second, by instances and partitions, and what binds.
//!
//! ```console
//! $ cargo test --release -p shop --test cluster orders_per_second -- --ignored --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::many::{CALLERS, PRODUCTS, place_all, receive_all};
use crate::place::variable;
use crate::real::backstage::SERVICES;
use crate::real::database::Database;
use crate::real::in_runtime;
use crate::real::process::Role;
use crate::world::{Name, World};

/// Orders of one measurement, unless `SCALING_ORDERS` says otherwise.
const ORDERS: usize = 20_000;
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
    let orders = std::env::var("SCALING_ORDERS").map(|orders| orders.parse().unwrap());
    let orders = orders.unwrap_or(ORDERS);
    println!("{orders} orders from {CALLERS} callers; seconds of CPU of each kind of process");
    println!("instances partitions  accepted/s  reserved/s  CPU");
    for partitions in [1, 4, 16] {
        for instances in [1, 2, 4] {
            let world = World::of_size(instances, partitions);
            let row = in_runtime(async {
                let measuring = measure(&world, instances, orders);
                timeout(MEASUREMENT_MAX, measuring).await
            });
            let row = row.expect("a measurement ends in time");
            println!(
                "{instances:>9} {partitions:>10} {:>11.0} {:>11.0}  {}",
                orders as f64 / row.accepted.as_secs_f64(),
                orders as f64 / row.reserved.as_secs_f64(),
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
    cpu: String,
}

async fn measure(world: &World, instances: usize, orders: usize) -> Row {
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
    let start = Instant::now();
    place_all(channel, orders).await;
    let accepted = start.elapsed();
    let reserved = "SELECT count(*) FROM orders WHERE status = 'RESERVED'";
    reach(&mut order, reserved, orders).await;
    let reserved = start.elapsed();
    let after = cpu(world, &names, &mut server).await;
    world.stop(&names).await;
    let used = after.iter().map(|(who, after)| {
        let used = after - before.get(who).unwrap_or(&0.0);
        format!("{who} {used:.1}")
    });
    Row {
        accepted,
        reserved,
        cpu: used.collect::<Vec<_>>().join(", "),
    }
}

/// Waits until a query counts to `number`.
async fn reach(database: &mut Database, query: &'static str, number: usize) {
    while database.number(query).await.unwrap() < i64::try_from(number).unwrap() {
        sleep(LOOK).await;
    }
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
