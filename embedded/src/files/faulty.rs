//! A disk in memory that forgets what was not synced, for durability tests.
//!
//! Names and contents are durable only after their own sync. A crash can be set for the n-th
//! change; what survives it is then chosen by the test: unsynced names or not, unsynced data or
//! not, and how many bytes of the write that was under way.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{File, Files};

/// The disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    inodes: BTreeMap<u64, Inode>,
    syncs: Syncs,
    changes: u64,
    crash_at: Option<u64>,
    fail_writes: bool,
    fail_syncs: bool,
    /// The file of the newest write that was not synced.
    last_written: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Dir,
    File(u64),
}

#[derive(Debug, Default, Clone)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// What was done to the content since it was synced.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { position: usize, data: Vec<u8> },
    Truncate(usize),
}

/// Whether syncs do what they promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// They do.
    Honest,
    /// They do nothing, for files and for names: the mutant that the checks must notice.
    Nothing,
    /// They do nothing for files.
    NamesOnly,
}

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survival {
    /// Names created, renamed and removed.
    pub(crate) names: bool,
    /// Contents of files other than the one written last.
    pub(crate) others: bool,
    /// The file written last.
    pub(crate) last: Last,
}

/// What a crash leaves of the file written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// Only what was synced.
    Synced,
    /// All its changes, of the newest write the first bytes.
    Torn(usize),
    /// The same, but the file has its new length, with zeros where nothing was written.
    TornZeroed(usize),
}

impl Disk {
    /// An empty disk with a root directory.
    pub(crate) fn new(syncs: Syncs) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Entry::Dir)]);
        Self(Arc::new(Mutex::new(State {
            names: root.clone(),
            durable_names: root,
            inodes: BTreeMap::new(),
            syncs,
            changes: 0,
            crash_at: None,
            fail_writes: false,
            fail_syncs: false,
            last_written: None,
        })))
    }

    /// Lets the n-th change from now be the one during which the machine dies.
    pub(crate) fn crash_at(&self, change: u64) {
        let mut state = self.state();
        let at = state.changes + change;
        state.crash_at = Some(at);
    }

    /// Lets writes fail after half of their bytes, as on a full disk.
    pub(crate) fn fail_writes(&self, fail: bool) {
        self.state().fail_writes = fail;
    }

    /// Lets syncs of files fail.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.state().fail_syncs = fail;
    }

    /// How many changes there were.
    pub(crate) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Bytes of the newest write that is not synced.
    pub(crate) fn last_write_bytes(&self) -> usize {
        let state = self.state();
        let inode = state.last_written.and_then(|id| state.inodes.get(&id));
        match inode.and_then(|inode| inode.pending.last()) {
            Some(Change::Write { data, .. }) => data.len(),
            _ => 0,
        }
    }

    /// The disk as the next start finds it.
    pub(crate) fn after_crash(&self, survival: Survival) -> Self {
        let state = self.state();
        let chosen = if survival.names {
            &state.names
        } else {
            &state.durable_names
        };
        let mut names = BTreeMap::new();
        for (path, entry) in chosen {
            let parent = path.parent();
            if parent.is_none_or(|parent| names.get(parent) == Some(&Entry::Dir)) {
                names.insert(path.clone(), *entry);
            }
        }
        let survivor = |(id, inode): (&u64, &Inode)| {
            let content = if state.last_written == Some(*id) {
                inode.survivor(survival.last)
            } else {
                let whole = if survival.others {
                    Last::Torn(usize::MAX)
                } else {
                    Last::Synced
                };
                inode.survivor(whole)
            };
            (
                *id,
                Inode {
                    durable: content.clone(),
                    content,
                    pending: Vec::new(),
                },
            )
        };
        Self(Arc::new(Mutex::new(State {
            names: names.clone(),
            durable_names: names,
            inodes: state.inodes.iter().map(survivor).collect(),
            syncs: state.syncs,
            changes: 0,
            crash_at: None,
            fail_writes: false,
            fail_syncs: false,
            last_written: None,
        })))
    }

    /// The disk as the next process finds it when only this one was killed: everything written is
    /// there, and what was not synced may still be lost.
    pub(crate) fn after_kill(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            inodes: state.inodes.clone(),
            syncs: state.syncs,
            changes: 0,
            crash_at: None,
            fail_writes: false,
            fail_syncs: false,
            last_written: state.last_written,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Inode {
    fn survivor(&self, last: Last) -> Vec<u8> {
        let (kept, zeroed) = match last {
            Last::Synced => return self.durable.clone(),
            Last::Torn(kept) => (kept, false),
            Last::TornZeroed(kept) => (kept, true),
        };
        let mut content = self.durable.clone();
        for (at, change) in self.pending.iter().enumerate() {
            match change {
                Change::Truncate(len) => content.resize(*len, 0),
                Change::Write { position, data } => {
                    let newest = at + 1 == self.pending.len();
                    let kept = if newest {
                        kept.min(data.len())
                    } else {
                        data.len()
                    };
                    if newest && zeroed {
                        write(&mut content, *position, &vec![0; data.len()]);
                    }
                    write(&mut content, *position, &data[..kept]);
                }
            }
        }
        content
    }
}

fn write(content: &mut Vec<u8>, position: usize, data: &[u8]) {
    if !data.is_empty() {
        content.resize(content.len().max(position + data.len()), 0);
        content[position..position + data.len()].copy_from_slice(data);
    }
}

fn dead() -> io::Error {
    io::Error::other("the machine is dead")
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

impl State {
    /// Counts a change; an error if the machine is dead.
    fn step(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.crash_at.is_some_and(|at| self.changes >= at) {
            Err(dead())
        } else {
            Ok(())
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        self.names.get(path).copied().ok_or_else(|| missing(path))
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match self.entry(path.parent().unwrap_or(Path::new("/")))? {
            Entry::Dir => Ok(()),
            Entry::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Does a change to a file, and what is left of it if the machine dies meanwhile.
    fn change(&mut self, id: u64, change: Change) -> io::Result<()> {
        let alive = self.crash_at.is_none_or(|at| self.changes < at);
        let step = self.step();
        if !alive {
            return step;
        }
        let inode = self.inodes.entry(id).or_default();
        match &change {
            Change::Write { position, data } => write(&mut inode.content, *position, data),
            Change::Truncate(len) => inode.content.resize(*len, 0),
        }
        inode.pending.push(change);
        self.last_written = Some(id);
        step
    }
}

impl Files for Disk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.check_parent(path)?;
        match state.names.insert(path.to_owned(), Entry::Dir) {
            Some(Entry::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            _ => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.entry(dir)?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match self.state().entry(path)? {
            Entry::File(id) => Ok(Arc::new(Handle {
                disk: self.clone(),
                id,
            })),
            Entry::Dir => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.step()?;
        state.check_parent(path)?;
        // A file emptied in place could survive with its old name and content: so a new inode.
        let id = state.inodes.len() as u64;
        state.inodes.insert(id, Inode::default());
        state.names.insert(path.to_owned(), Entry::File(id));
        Ok(Arc::new(Handle {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let entry = state.names.remove(from).ok_or_else(|| missing(from))?;
        state.names.insert(to.to_owned(), entry);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state
            .names
            .remove(path)
            .map(drop)
            .ok_or_else(|| missing(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if state
            .names
            .keys()
            .any(|inside| inside.parent() == Some(path))
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state
            .names
            .remove(path)
            .map(drop)
            .ok_or_else(|| missing(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if state.syncs == Syncs::Nothing {
            return Ok(());
        }
        let State {
            names,
            durable_names,
            ..
        } = &mut *state;
        durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        durable_names.extend(inside.map(|(path, entry)| (path.clone(), *entry)));
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    id: u64,
}

impl Handle {
    fn read<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(&self.disk.state().inodes[&self.id].content)
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.read(<[u8]>::len) as u64)
    }

    fn modified_ms(&self) -> io::Result<i64> {
        Ok(0)
    }

    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let position = position as usize;
        self.read(
            |content| match content.get(position..position + buf.len()) {
                Some(found) => {
                    buf.copy_from_slice(found);
                    Ok(())
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        )
    }

    fn write_all_at(&self, data: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let full = state.fail_writes;
        let data = if full { &data[..data.len() / 2] } else { data };
        let change = Change::Write {
            position: position as usize,
            data: data.to_vec(),
        };
        state.change(self.id, change)?;
        if full {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk
            .state()
            .change(self.id, Change::Truncate(len as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        if state.fail_syncs {
            return Err(io::Error::other("the device failed"));
        }
        if state.syncs == Syncs::Honest {
            let inode = state.inodes.entry(self.id).or_default();
            inode.durable = inode.content.clone();
            inode.pending.clear();
        }
        Ok(())
    }
}
