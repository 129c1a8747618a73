//! The same runs over real SQLite files.
//!
//! The simulation's thread blocks on each call, so that its clock stands still meanwhile; what the
//! database does in threads and timers of its own it does in a runtime of its own. Nobody waits for
//! another connection's lock: it is BUSY at once.

mod desk;
mod rows;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use inventory::context::InventoryContext;
use inventory::store::sqlite::SqliteTables;
use messaging::context::Context;
use messaging::shard::{Epoch, ShardId};
use messaging::store::sqlite::{SqliteStore, SqliteTurn};
use messaging::store::{
    Acknowledged, Action, AggregateKey, Checkpoint, Claimed, Cursor, Effects, Error, InboxKey,
    Operations, OutboxRow, Pacing, ParkedLevel, ParkedRow, Seen, Sequence, Store, Tables, Target,
    Turn,
};
use order::context::OrderContext;
use order::store::sqlite::OrderTables;
use sqlx::SqliteConnection;
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Mutex, MutexGuard};

use crate::check::{Committed, Side};
use crate::databases::{Databases, Rows};
use crate::dice::Dice;
use crate::plan::Plan;
use crate::ports::store::Backend;
use crate::run::{self, Report};
use crate::said;
use crate::seeds;
use crate::world::World;

/// Seeds of every change.
const SEEDS: u64 = 100;

/// A file, as one process has it open; every call blocks the thread.
pub(crate) struct Blocking<T> {
    inner: SqliteStore<T>,
    side: Side,
    watch: Arc<Watch>,
    /// The store has one writer connection, and who waits for it must not block the thread.
    writer: Mutex<()>,
}

/// What looks at the files from outside.
struct Watch {
    database: Handle,
    order: SqliteStore<OrderTables>,
    inventory: SqliteStore<SqliteTables>,
    world: Arc<World>,
}

pub(crate) struct BlockingTurn<'s, C: Context, T: Tables<C, SqliteConnection>> {
    inner: Option<SqliteTurn<'s, T>>,
    store: &'s Blocking<T>,
    shard: ShardId,
    epoch: Epoch,
    _writer: MutexGuard<'s, ()>,
    _context: std::marker::PhantomData<fn(C)>,
}

/// Blocks until `call` is answered, with the database's own runtime around it. Unconstrained: the
/// simulation's task would never get a new budget while it stands here.
fn block<V>(database: &Handle, call: impl Future<Output = V>) -> V {
    let _entered = database.enter();
    futures::executor::block_on(tokio::task::unconstrained(call))
}

impl<T> Blocking<T> {
    fn block<V>(&self, call: impl Future<Output = V>) -> V {
        block(&self.watch.database, call)
    }
}

impl<C: Context, T: Tables<C, SqliteConnection>> Store<C> for Blocking<T> {
    type Turn<'s>
        = BlockingTurn<'s, C, T>
    where
        Self: 's;

    fn pacing(&self) -> Pacing {
        Pacing {
            at_once: 1,
            rest_factor: 0,
        }
    }

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        let _writer = self.writer.lock().await;
        self.block(Store::<C>::agree_on_partitions(&self.inner, partitions))
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        let _writer = self.writer.lock().await;
        let claimed = self.block(Store::<C>::claim(&self.inner, shard, epoch));
        if claimed.is_ok() {
            let world = &self.watch.world;
            world.checker.claimed(self.side, shard, epoch);
            world.look();
        }
        claimed
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<Self::Turn<'_>, Error> {
        let writer = self.writer.lock().await;
        let inner = self.block(Store::<C>::begin(&self.inner, shard, epoch))?;
        Ok(BlockingTurn {
            inner: Some(inner),
            store: self,
            shard,
            epoch,
            _writer: writer,
            _context: std::marker::PhantomData,
        })
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        self.block(Store::<C>::outbox(&self.inner, partition, from, bytes_max))
    }

    async fn acknowledged(&self, partition: i32) -> Result<Vec<Acknowledged>, Error> {
        self.block(Store::<C>::acknowledged(&self.inner, partition))
    }

    async fn actions(&self, shard: ShardId) -> Result<Vec<Action>, Error> {
        self.block(Store::<C>::actions(&self.inner, shard))
    }

    async fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        self.block(Store::<C>::parked_of(&self.inner, shard, target, limit))
    }

    async fn parked_level(&self, shard: ShardId) -> Result<ParkedLevel, Error> {
        self.block(Store::<C>::parked_level(&self.inner, shard))
    }
}

impl<'s, C: Context, T: Tables<C, SqliteConnection>> BlockingTurn<'s, C, T> {
    fn parts(&mut self) -> (&'s Handle, &mut SqliteTurn<'s, T>) {
        let store: &'s Blocking<T> = self.store;
        let inner = self.inner.as_mut().expect("only commit and drop take it");
        (&store.watch.database, inner)
    }
}

impl<C: Context, T: Tables<C, SqliteConnection>> Turn<C> for BlockingTurn<'_, C, T> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        let (database, inner) = self.parts();
        block(database, Turn::<C>::cursors(inner))
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        let (database, inner) = self.parts();
        block(database, Turn::<C>::seen(inner, inbox, aggregates))
    }

    async fn load(&mut self, messages: &[&C::Message]) -> Result<C::State, Error> {
        let (database, inner) = self.parts();
        block(database, Turn::<C>::load(inner, messages))
    }

    async fn load_follow_up(&mut self, state: &mut C::State) -> Result<(), Error> {
        let (database, inner) = self.parts();
        block(database, Turn::<C>::load_follow_up(inner, state))
    }

    async fn rehearse(mut self, state: Option<&C::State>, effects: Effects) -> Result<(), Error> {
        let inner = self.inner.take().expect("only commit and drop take it");
        self.store.block(Turn::<C>::rehearse(inner, state, effects))
    }

    async fn commit(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        let inner = self.inner.take().expect("only commit and drop take it");
        let Self {
            store,
            shard,
            epoch,
            ..
        } = self;
        let watch = &store.watch;
        let before = watch.rows(store.side)?;
        let copy = effects.clone();
        let rows = store.block(Turn::<C>::commit(inner, state, effects))?;
        let changes = rows::changes(&before, &watch.rows(store.side)?);
        let committed = Committed {
            shard,
            epoch,
            effects: &copy,
            rows: &rows,
            changes: &changes,
        };
        watch.world.checker.committed(store.side, &committed);
        watch.world.look();
        Ok(rows)
    }
}

impl<C: Context, T: Tables<C, SqliteConnection>> Drop for BlockingTurn<'_, C, T> {
    /// Waits until the turn is undone, or the next one would find the file BUSY now and then.
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            {
                let _entered = self.store.watch.database.enter();
                drop(inner);
            }
            let partitions = self.store.watch.world.partitions;
            let undone = Store::<C>::agree_on_partitions(&self.store.inner, partitions);
            // The writer connection is free again, or another process has the file.
            let _ = block(&self.store.watch.database, undone);
        }
    }
}

impl<C: Context, T: Tables<C, SqliteConnection>> Backend<C> for Blocking<T> {
    const LATE: bool = false;

    async fn commit_late(
        turn: Self::Turn<'_>,
        state: Option<&C::State>,
        effects: Effects,
        _: Duration,
    ) -> Result<(), Error> {
        turn.commit(state, effects).await.map(drop)
    }
}

impl Watch {
    fn rows(&self, side: Side) -> Result<rows::Tables, Error> {
        block(&self.database, async {
            match side {
                Side::Order => rows::of_order(self.order.reader()).await,
                Side::Inventory => rows::of_inventory(self.inventory.reader()).await,
            }
        })
    }
}

/// Both services' files in a folder of their own.
struct Files {
    folder: TempDir,
    watch: Arc<Watch>,
}

impl Files {
    fn new(world: &Arc<World>, database: &Runtime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (order, inventory) = block(database.handle(), async {
            let order = order_file(&folder).await.unwrap();
            (order, inventory_file(&folder).await.unwrap())
        });
        let watch = Watch {
            database: database.handle().clone(),
            order,
            inventory,
            world: Arc::clone(world),
        };
        Self {
            folder,
            watch: Arc::new(watch),
        }
    }

    fn blocking<T>(
        &self,
        side: Side,
        opened: Result<SqliteStore<T>, Error>,
    ) -> Result<Arc<Blocking<T>>, Error> {
        Ok(Arc::new(Blocking {
            inner: opened?,
            side,
            watch: Arc::clone(&self.watch),
            writer: Mutex::new(()),
        }))
    }
}

fn path(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

async fn order_file(folder: &TempDir) -> Result<SqliteStore<OrderTables>, Error> {
    let (path, migrations) = (path(folder, "order.db"), &order::store::sqlite::MIGRATIONS);
    SqliteStore::open_patient(&path, migrations, OrderTables, Duration::ZERO).await
}

async fn inventory_file(folder: &TempDir) -> Result<SqliteStore<SqliteTables>, Error> {
    let migrations = &inventory::store::sqlite::MIGRATIONS;
    let path = path(folder, "inventory.db");
    SqliteStore::open_patient(&path, migrations, SqliteTables::default(), Duration::ZERO).await
}

impl Databases for Files {
    type Order = Blocking<OrderTables>;
    type Inventory = Blocking<SqliteTables>;

    async fn order(&self) -> Result<Arc<Self::Order>, Error> {
        let opened = block(&self.watch.database, order_file(&self.folder));
        self.blocking(Side::Order, opened)
    }

    async fn inventory(&self) -> Result<Arc<Self::Inventory>, Error> {
        let opened = block(&self.watch.database, inventory_file(&self.folder));
        self.blocking(Side::Inventory, opened)
    }

    async fn desk(&self, side: Side) -> Result<Arc<dyn Operations>, Error> {
        Ok(match side {
            Side::Order => self.order().await? as _,
            Side::Inventory => self.inventory().await? as _,
        })
    }

    async fn checkpoint(&self, side: Side) -> Result<Checkpoint, Error> {
        block(&self.watch.database, async {
            match side {
                Side::Order => self.watch.order.checkpoint().await,
                Side::Inventory => self.watch.inventory.checkpoint().await,
            }
        })
    }

    async fn rows(&self) -> Result<Rows, Error> {
        let (order, inventory) = (
            self.watch.rows(Side::Order)?,
            self.watch.rows(Side::Inventory)?,
        );
        let said = said::by(&self.watch.order, &self.watch.inventory);
        let said = block(&self.watch.database, said)?;
        Ok(rows::all_rows(order, inventory, said))
    }
}

/// Runs a seed over files.
fn seed(seed: u64) -> Report {
    let database = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let report = runtime.block_on(async {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice);
        let world = World::new(dice.fork(), plan.partitions, false, Vec::new());
        let files = Arc::new(Files::new(&world, &database));
        run::simulate(&world, &plan, &files).await;
        run::report(seed, &world)
    });
    {
        let _entered = database.enter();
        drop(runtime);
    }
    database.shutdown_background();
    report
}

const _: fn() = || {
    fn fits<C: Context, B: Backend<C>>() {}
    fits::<OrderContext, <Files as Databases>::Order>();
    fits::<InventoryContext, <Files as Databases>::Inventory>();
};

#[test]
#[ignore = "takes minutes: .ci/run calls it"]
fn seeds_over_sqlite() {
    let from = seeds::number("SIM_FROM", 0);
    let count = seeds::number("SIM_SEEDS", SEEDS);
    let numbers: Vec<u64> = (from..from + count).collect();
    let reports = seeds::parallel(numbers.len(), |index| seed(numbers[index]));
    println!("{}", seeds::told(&reports));
    let failed: Vec<_> = reports
        .iter()
        .filter_map(|report| Some((report.seed, report.violation.as_ref()?)))
        .collect();
    for (seed, violation) in &failed {
        println!("seed {seed}: {violation}");
        println!(
            "again: SIM_FROM={seed} SIM_SEEDS=1 cargo test -p sim seeds_over_sqlite -- --ignored --nocapture"
        );
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
    if count >= SEEDS {
        assert_eq!(seeds::never_met(&seeds::sums(&reports).0).next(), None);
    }
}
