//! Ownership by a file lock: one process owns all shards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Error, Grant, Holding, Lease, Renewal, instance_name};
use crate::shard::{Epoch, ShardId};

/// All shards of a database that only one process may use, for as long as it holds a lock file.
/// What is granted never ends by itself.
///
/// The operating system gives the lock up when the process ends, however it ends. The file stays:
/// removing it would let two processes lock two files of one name. Lock first, then open the
/// database, then say which epoch to start after:
///
/// ```text
/// let lease = FileLease::lock(Path::new("data/order.db.lock"))?;
/// let store = SqliteStore::open(...).await?;
/// let lease = lease.starting_after(store.highest_epoch().await?);
/// ```
#[derive(Debug)]
pub struct FileLease {
    held: Mutex<Held>,
    /// Locked until dropped.
    _lock: File,
}

/// What the holder of the file has taken.
#[derive(Debug, Default)]
struct Held {
    /// Epochs granted are above this one: the highest that the database has seen.
    after: Epoch,
    /// Shards granted and not released.
    shards: BTreeSet<ShardId>,
    /// The last epoch granted per shard.
    last: BTreeMap<ShardId, Epoch>,
}

impl Held {
    fn holds(&self, grant: &Grant) -> bool {
        self.shards.contains(&grant.shard) && self.last.get(&grant.shard) == Some(&grant.epoch)
    }
}

impl FileLease {
    /// Takes the lock file at `path`, which is made with its folders if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`] when another holder has it, in this process or any other;
    /// [`Error::Unreachable`] when the file cannot be opened or locked.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        let file = open(path).map_err(|source| unreachable(path, &source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                held: Mutex::default(),
                _lock: file,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse {
                what: path.display().to_string(),
            }),
            Err(TryLockError::Error(source)) => Err(unreachable(path, &source)),
        }
    }

    /// Takes the lock file next to `database`: `order.db` is guarded by `order.db.lock`.
    ///
    /// # Errors
    /// As [`FileLease::lock`].
    pub fn lock_beside(database: &Path) -> Result<Self, Error> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        Self::lock(Path::new(&path))
    }

    /// Grants epochs above `epoch`: the highest that the database has seen.
    #[must_use]
    pub fn starting_after(self, epoch: Epoch) -> Self {
        self.held().after = epoch;
        self
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

fn unreachable(path: &Path, source: &io::Error) -> Error {
    let detail = format!("{}: {source}", path.display());
    Error::Unreachable(io::Error::new(source.kind(), detail).into())
}

#[async_trait]
impl Lease for FileLease {
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, Error> {
        let mut held = self.held();
        let mut grants = Vec::new();
        for shard in (0..partitions).map(ShardId) {
            if held.shards.insert(shard) {
                let last = held.last.get(&shard).copied().unwrap_or_default();
                let epoch = last.max(held.after).next();
                held.last.insert(shard, epoch);
                grants.push(Grant { shard, epoch });
            }
        }
        Ok(grants)
    }

    async fn renew(&self, grants: &[Grant]) -> Result<Renewal, Error> {
        let held = self.held();
        let (kept, lost) = grants.iter().partition(|grant| held.holds(grant));
        Ok(Renewal {
            kept,
            lost,
            surrender: Vec::new(),
        })
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), Error> {
        let mut held = self.held();
        for grant in grants {
            if held.holds(grant) {
                held.shards.remove(&grant.shard);
            }
        }
        Ok(())
    }

    async fn leave(&self) -> Result<(), Error> {
        self.held().shards.clear();
        Ok(())
    }

    async fn holders(&self) -> Result<Vec<Holding>, Error> {
        let held = self.held();
        let holding = |(&shard, &epoch)| Holding {
            grant: Grant { shard, epoch },
            holder: held.shards.contains(&shard).then(instance_name),
        };
        Ok(held.last.iter().map(holding).collect())
    }
}
