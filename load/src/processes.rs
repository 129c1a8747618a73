//! The processes of the store on this machine: who listens where, what they use. From Linux's `/proc`
//! (`proc(5)`); elsewhere, or of processes that others own, nothing is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux that programs see.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(u32);

/// What a process used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// What listens in it: `gateway`, `order`, ...; `load` for this one.
    pub parts: Vec<String>,
    /// Most resident memory that was seen, in bytes.
    pub resident_bytes_max: u64,
    /// Processor time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Bytes that it had written to disk.
    pub written_bytes: u64,
}

/// Processes under observation.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    watched: BTreeMap<Process, Watched>,
}

#[derive(Debug)]
struct Watched {
    parts: BTreeSet<String>,
    cpu_before: f64,
    written_before: u64,
    resident_max: u64,
}

impl Watch {
    /// Watches this process, and those that listen at the ports of `parts`.
    pub(crate) fn begin(parts: &[(String, u16)]) -> Self {
        let mut watch = Self::default();
        watch.add(Process(std::process::id()), "load");
        let listeners = listeners();
        for (part, port) in parts {
            if let Some(process) = listeners.get(port) {
                watch.add(*process, part);
            }
        }
        watch.look();
        watch
    }

    fn add(&mut self, process: Process, part: &str) {
        let watched = self.watched.entry(process).or_insert_with(|| Watched {
            parts: BTreeSet::new(),
            cpu_before: process.cpu_seconds().unwrap_or_default(),
            written_before: process.written_bytes().unwrap_or_default(),
            resident_max: 0,
        });
        watched.parts.insert(part.to_owned());
    }

    /// Looks at their memory.
    pub(crate) fn look(&mut self) {
        for (process, watched) in &mut self.watched {
            let now = process.resident_bytes().unwrap_or_default();
            watched.resident_max = watched.resident_max.max(now);
        }
    }

    /// What they used since the beginning.
    pub(crate) fn end(mut self) -> Vec<Usage> {
        self.look();
        let usage = self.watched.into_iter().map(|(process, watched)| Usage {
            parts: watched.parts.into_iter().collect(),
            resident_bytes_max: watched.resident_max,
            cpu_seconds: process.cpu_seconds().unwrap_or_default() - watched.cpu_before,
            written_bytes: process
                .written_bytes()
                .unwrap_or_default()
                .saturating_sub(watched.written_before),
        });
        usage.collect()
    }
}

impl Process {
    fn file(self, name: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).ok()
    }

    /// `VmRSS`, which is in kB.
    fn resident_bytes(self) -> Option<u64> {
        Some(number_after(&self.file("status")?, "VmRSS:")? * 1024)
    }

    /// `write_bytes`: what was sent to the disk, or will be.
    fn written_bytes(self) -> Option<u64> {
        number_after(&self.file("io")?, "write_bytes:")
    }

    /// `utime` and `stime`, the 14th and 15th field. The second field, a name in brackets, may hold
    /// anything.
    fn cpu_seconds(self) -> Option<f64> {
        let stat = self.file("stat")?;
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse().ok()?;
        let system: f64 = fields.get(12)?.parse().ok()?;
        Some((ticks + system) / TICKS_PER_SECOND)
    }
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Who listens at which TCP port of this machine.
fn listeners() -> BTreeMap<u16, Process> {
    let mut inodes = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().filter_map(listening));
    }
    let mut found = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        for inode in sockets(&process.path()) {
            if let Some(port) = inodes.get(&inode) {
                found.insert(*port, Process(number));
            }
        }
    }
    found
}

/// Inode and port of a line of `/proc/net/tcp` whose socket listens (state `0A`).
fn listening(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    if *fields.get(3)? != "0A" {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((fields.get(9)?.parse().ok()?, port))
}

/// Inodes of a process's sockets.
fn sockets(process: &Path) -> Vec<u64> {
    let files = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let inodes = files.filter_map(|file| {
        let link = fs::read_link(file.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    });
    inodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_the_port_at_which_it_listens() {
        let listener = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let usage = Watch::begin(&[("gateway".to_owned(), port)]).end();
        assert_eq!(usage.len(), 1);
        assert_eq!(usage[0].parts, ["gateway", "load"]);
        assert!(usage[0].resident_bytes_max > 1 << 20, "{usage:?}");
    }

    #[test]
    fn a_port_at_which_nobody_listens_is_nobodys() {
        let usage = Watch::begin(&[("order".to_owned(), 0)]).end();
        assert_eq!(usage[0].parts, ["load"]);
    }

    #[test]
    fn only_sockets_that_listen_count() {
        let line = "  0: 0100007F:22C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4711 1";
        assert_eq!(listening(line), Some((4711, 8900)));
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
    }
}
