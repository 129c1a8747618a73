//! Which topics there are: a journal of creations and deletions, and a directory for each topic.
//!
//! ```text
//! <data>/topics.journal           created, deleted
//! <data>/topics/<id>-<name>/<p>/  the files of partition p
//! ```
//!
//! A topic exists once its journal entry is durable. Its files are created before, and removed
//! after the entry of its deletion, so what the journal does not know is a leftover.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::limits::{PARTITIONS_MAX, TOPIC_NAME_BYTES_MAX};
use super::partition::Partition;
use super::segment::Segment;
use super::store::{Options, Store};
use crate::files::journal::Journal;
use crate::files::{self, Files};
use crate::{Error, clock};

/// All topics of the log.
#[derive(Debug)]
pub(super) struct Topics {
    options: Options,
    dir: PathBuf,
    catalog: Mutex<Catalog>,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
}

#[derive(Debug)]
struct Catalog {
    journal: Journal,
    next_id: u64,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    id: u64,
    /// Its name.
    pub(super) name: String,
    /// Its partitions, by number.
    pub(super) partitions: Vec<Arc<Partition>>,
}

/// Why a topic was not created or deleted.
#[derive(Debug, thiserror::Error)]
pub(super) enum TopicError {
    /// Names are 1 to 249 of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`.
    #[error("a topic name is 1 to 249 letters, digits, dots, underscores and hyphens")]
    InvalidName,
    /// There is a topic of that name.
    #[error("the topic exists")]
    Exists,
    /// There is no topic of that name.
    #[error("there is no such topic")]
    Unknown,
    /// No partitions, or more than the log has room for.
    #[error(
        "the number of partitions must be positive, and {PARTITIONS_MAX} for all topics together"
    )]
    InvalidPartitions,
    /// The files could not be made.
    #[error(transparent)]
    Files(#[from] Error),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry")]
enum Entry {
    Created {
        id: u64,
        name: String,
        partitions: usize,
    },
    Deleted {
        id: u64,
    },
}

impl Topics {
    /// Recovers the topics kept in `dir`. Blocks.
    pub(super) fn open(options: Options, dir: &Path) -> Result<Self, Error> {
        let files = Arc::clone(&options.files);
        let topics_dir = dir.join("topics");
        let journal_path = dir.join("topics.journal");
        if files::read(files.as_ref(), &journal_path)?.is_none() {
            refuse_orphans(files.as_ref(), &topics_dir, &journal_path)?;
        }
        let (journal, entries) = Journal::open(Arc::clone(&files), &journal_path)?;
        files::ensure_dir(files.as_ref(), &topics_dir)?;
        let (live, deleted, next_id) = replay(&journal_path, &entries)?;
        remove_leftovers(files.as_ref(), &topics_dir, &live, &deleted)?;
        let mut by_name = BTreeMap::new();
        for (id, (name, partitions)) in live {
            let topic = open_topic(&options, &topics_dir, id, name, partitions)?;
            by_name.insert(topic.name.clone(), Arc::new(topic));
        }
        let catalog = Mutex::new(Catalog { journal, next_id });
        Ok(Self {
            options,
            dir: topics_dir,
            catalog,
            by_name: RwLock::new(by_name),
        })
    }

    /// The topic of that name.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// A partition of a topic.
    pub(super) fn partition(&self, name: &str, number: i32) -> Option<Arc<Partition>> {
        let number = usize::try_from(number).ok()?;
        self.get(name)?.partitions.get(number).cloned()
    }

    /// All topics, by name.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Checks whether a topic could be created.
    pub(super) fn check_new(&self, name: &str, partitions: i32) -> Result<usize, TopicError> {
        if !is_topic_name(name) {
            return Err(TopicError::InvalidName);
        }
        if self.get(name).is_some() {
            return Err(TopicError::Exists);
        }
        let taken: usize = self.all().iter().map(|topic| topic.partitions.len()).sum();
        match usize::try_from(partitions) {
            Ok(wanted) if wanted > 0 && wanted + taken <= PARTITIONS_MAX => Ok(wanted),
            _ => Err(TopicError::InvalidPartitions),
        }
    }

    /// Creates a topic, durable when it returns. Blocks.
    pub(super) fn create(&self, name: &str, partitions: i32) -> Result<(), TopicError> {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions = self.check_new(name, partitions)?;
        let id = catalog.next_id;
        catalog.next_id += 1;
        let files = self.options.files.as_ref();
        let dir = topic_dir(&self.dir, id, name);
        files::ensure_dir(files, &dir)?;
        for number in 0..partitions {
            Store::create(files, &dir.join(number.to_string()), clock::now_ms())?;
        }
        let topic = open_topic(&self.options, &self.dir, id, name.to_owned(), partitions)?;
        append(
            &mut catalog,
            &Entry::Created {
                id,
                name: name.to_owned(),
                partitions,
            },
        )
        .map_err(|e| Error::io(&self.dir, e))?;
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    /// Deletes a topic with its records, durably. Blocks.
    pub(super) fn delete(&self, name: &str) -> Result<(), TopicError> {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = self.get(name).ok_or(TopicError::Unknown)?;
        append(&mut catalog, &Entry::Deleted { id: topic.id })
            .map_err(|e| Error::io(&self.dir, e))?;
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        for partition in &topic.partitions {
            partition.store().close();
        }
        let dir = topic_dir(&self.dir, topic.id, name);
        if let Err(error) = remove_topic_dir(self.options.files.as_ref(), &dir) {
            // The topic is gone all the same: what is left is removed at the next start.
            tracing::warn!(path = %dir.display(), %error, "cannot remove a deleted topic's files");
        }
        Ok(())
    }
}

/// Whether Kafka would take this as the name of a topic.
pub(super) fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(legal)
        && !matches!(name, "." | "..")
}

fn append(catalog: &mut Catalog, entry: &Entry) -> std::io::Result<()> {
    catalog.journal.append(&serde_json::to_vec(entry)?)
}

type Live = BTreeMap<u64, (String, usize)>;

/// The living topics by id, the ids of deleted ones, and the next id.
fn replay(journal: &Path, entries: &[Vec<u8>]) -> Result<(Live, HashSet<u64>, u64), Error> {
    let mut live = Live::new();
    let mut deleted = HashSet::new();
    let mut next_id = 1;
    for entry in entries {
        let entry = serde_json::from_slice(entry)
            .map_err(|_| Error::corrupt(journal, 0, "an entry is not about a topic"))?;
        match entry {
            Entry::Created {
                id,
                name,
                partitions,
            } => {
                next_id = next_id.max(id + 1);
                live.insert(id, (name, partitions));
            }
            Entry::Deleted { id } => {
                live.remove(&id);
                deleted.insert(id);
            }
        }
    }
    Ok((live, deleted, next_id))
}

fn open_topic(
    options: &Options,
    dir: &Path,
    id: u64,
    name: String,
    partitions: usize,
) -> Result<Topic, Error> {
    let dir = topic_dir(dir, id, &name);
    let partitions = (0..partitions)
        .map(|number| {
            Ok(Partition::new(Store::open(
                options.clone(),
                dir.join(number.to_string()),
            )?))
        })
        .collect::<Result<_, Error>>()?;
    Ok(Topic {
        id,
        name,
        partitions,
    })
}

/// The directory of a topic. The name in it is for people, and cut so that it fits.
fn topic_dir(dir: &Path, id: u64, name: &str) -> PathBuf {
    dir.join(format!("{id}-{name:.200}"))
}

/// Without its journal the log would take every topic for a leftover.
fn refuse_orphans(files: &dyn Files, topics_dir: &Path, journal: &Path) -> Result<(), Error> {
    match files.list(topics_dir) {
        Ok(names) if !names.is_empty() => Err(Error::corrupt(
            journal,
            0,
            "the file is missing, but there are topics",
        )),
        _ => Ok(()),
    }
}

/// Removes the directories of deleted topics and of creations that were not finished.
fn remove_leftovers(
    files: &dyn Files,
    topics_dir: &Path,
    live: &Live,
    deleted: &HashSet<u64>,
) -> Result<(), Error> {
    for name in files
        .list(topics_dir)
        .map_err(|e| Error::io(topics_dir, e))?
    {
        let dir = topics_dir.join(&name);
        let id = name
            .split_once('-')
            .and_then(|(id, _)| id.parse::<u64>().ok());
        let Some(id) = id else { continue };
        if live
            .get(&id)
            .is_some_and(|(live, _)| topic_dir(topics_dir, id, live) == dir)
        {
            continue;
        }
        if !deleted.contains(&id) && holds_records(files, &dir).map_err(|e| Error::io(&dir, e))? {
            return Err(Error::corrupt(
                &dir,
                0,
                "these records belong to no known topic",
            ));
        }
        remove_topic_dir(files, &dir).map_err(|e| Error::io(&dir, e))?;
    }
    Ok(())
}

fn holds_records(files: &dyn Files, dir: &Path) -> std::io::Result<bool> {
    for partition in files.list(dir)? {
        let partition = dir.join(partition);
        for name in files.list(&partition)? {
            let is_segment = Segment::parse_file_name(&name).is_some();
            if is_segment && files.open(&partition.join(name))?.len()? > 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn remove_topic_dir(files: &dyn Files, dir: &Path) -> std::io::Result<()> {
    for partition in files.list(dir)? {
        let partition = dir.join(partition);
        for name in files.list(&partition)? {
            files.remove_file(&partition.join(name))?;
        }
        files.remove_dir(&partition)?;
    }
    files.remove_dir(dir)?;
    files.sync_dir(dir.parent().unwrap_or(Path::new(".")))
}
