//! Ownership by a file lock: one process owns all shards.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Error, Grant, Lease, Renewal};
use crate::shard::{Epoch, ShardId};

/// All shards of a database that only one process may use, for as long as it holds a lock file.
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
    after: Epoch,
    held: Mutex<Held>,
    /// Locked until dropped.
    _lock: File,
}

#[derive(Debug, Default)]
struct Held {
    /// Shards granted and not released.
    shards: HashSet<ShardId>,
    /// The last epoch granted per shard.
    last: HashMap<ShardId, Epoch>,
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
                after: Epoch::default(),
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
    pub fn starting_after(mut self, epoch: Epoch) -> Self {
        self.after = epoch;
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
                let epoch = held.last.get(&shard).unwrap_or(&self.after).next();
                held.last.insert(shard, epoch);
                grants.push(Grant { shard, epoch });
            }
        }
        Ok(grants)
    }

    async fn renew(&self, held: &[Grant]) -> Result<Renewal, Error> {
        let now = self.held();
        let (kept, lost) = held.iter().partition(|grant| {
            now.shards.contains(&grant.shard) && now.last.get(&grant.shard) == Some(&grant.epoch)
        });
        Ok(Renewal {
            kept,
            lost,
            surrender: Vec::new(),
        })
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), Error> {
        let mut held = self.held();
        for grant in grants {
            if held.last.get(&grant.shard) == Some(&grant.epoch) {
                held.shards.remove(&grant.shard);
            }
        }
        Ok(())
    }
}
