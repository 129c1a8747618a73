//! What survives when the machine dies: over a disk that forgets what was not synced, at every
//! change, with the write under way torn at every byte.

use std::path::Path;
use std::sync::Arc;

use super::store::Store;
use crate::files::faulty::{Disk, Last, Survival, Syncs};
use evolution::Level;

const SUBJECT: &str = "order.events-shop.order.OrderPlaced";

/// What a client was told.
#[derive(Debug, Default)]
struct Told {
    /// Schemas with their ids, in order of registration.
    registered: Vec<(u32, String)>,
    level: Option<Level>,
    level_asked: Option<Level>,
}

fn schema(fields: usize) -> String {
    let field = |at| format!(r#"{{"name":"f{at}","type":"int","default":0}}"#);
    let fields: Vec<String> = (0..fields).map(field).collect();
    format!(
        r#"{{"type":"record","name":"R","fields":[{}]}}"#,
        fields.join(",")
    )
}

fn open(disk: &Disk) -> Result<Store, crate::Error> {
    Store::open(Arc::new(disk.clone()), Path::new("/"))
}

fn scenario(disk: &Disk, told: &mut Told) -> Result<(), Box<dyn std::error::Error>> {
    let store = open(disk)?;
    register(&store, 1, told)?;
    register(&store, 2, told)?;
    told.level_asked = Some(Level::Full);
    store.set_level(None, told.level_asked)?;
    told.level = told.level_asked;
    drop(store);
    register(&open(disk)?, 3, told)
}

fn register(
    store: &Store,
    fields: usize,
    told: &mut Told,
) -> Result<(), Box<dyn std::error::Error>> {
    let text = schema(fields);
    let id = store.register(SUBJECT, &text, None)?;
    told.registered.push((id, text));
    Ok(())
}

/// What a recovered registry owes the client; an empty list if all is well.
fn violations(disk: &Disk, told: &Told) -> Vec<String> {
    let store = match open(disk) {
        Ok(store) => store,
        Err(error) => return vec![format!("the registry does not open: {error}")],
    };
    let state = store.state();
    let mut found = Vec::new();
    for (version, (id, text)) in (1..).zip(&told.registered) {
        if state.text(*id).ok() != Some(text) {
            found.push(format!("schema {id} is lost"));
        }
        if state
            .version(SUBJECT, Some(version))
            .map(|version| version.id)
            .ok()
            != Some(*id)
        {
            found.push(format!("version {version} is lost"));
        }
    }
    let level = state.own_level(None);
    if level != told.level && level != told.level_asked {
        found.push("the level is lost".to_owned());
    }
    found
}

fn survivals(last_write_bytes: usize) -> impl Iterator<Item = Survival> {
    let lasts = [Last::Synced, Last::Torn(last_write_bytes)]
        .into_iter()
        .chain((0..last_write_bytes).flat_map(|kept| [Last::Torn(kept), Last::TornZeroed(kept)]));
    lasts.flat_map(|last| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(names, others)| {
            Survival {
                names,
                others,
                last,
            }
        })
    })
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_machine_dies_and_wherever_it_tears() {
    let mut tried = 0;
    for crash_at in 1.. {
        let disk = Disk::new(Syncs::Honest);
        disk.crash_at(crash_at);
        let mut told = Told::default();
        let crashed = scenario(&disk, &mut told).is_err();
        for survival in survivals(disk.last_write_bytes()) {
            let found = violations(&disk.after_crash(survival), &told);
            assert!(
                found.is_empty(),
                "dead at change {crash_at}, {survival:?}: {found:?}\n{told:?}"
            );
            tried += 1;
        }
        if !crashed {
            break;
        }
    }
    assert!(tried > 1_000, "{tried} ways to die");
}

#[test]
fn the_checker_notices_a_registry_that_does_not_sync() {
    for syncs in [Syncs::Nothing, Syncs::NamesOnly] {
        let disk = Disk::new(syncs);
        let mut told = Told::default();
        scenario(&disk, &mut told).unwrap();
        let survival = Survival {
            names: false,
            others: false,
            last: Last::Synced,
        };
        let found = violations(&disk.after_crash(survival), &told);
        assert!(!found.is_empty(), "{syncs:?} goes unnoticed");
    }
}
