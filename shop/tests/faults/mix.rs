//! Which faults a run injects.

use std::collections::BTreeMap;

use messaging::crash::Point;

use crate::fault::{Fault, Times};
use crate::proxy::Direction;
use crate::real::process::Role;
use crate::world::Way;

/// The faults of one run.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) name: &'static str,
    pub(crate) faults: Vec<Fault>,
    /// How many are under way at one time.
    pub(crate) lanes: usize,
    /// What a run of full length must have injected.
    pub(crate) coverage: Coverage,
}

impl Mix {
    /// Whether it needs a disk that can be filled.
    pub(crate) fn fills_disk(&self) -> bool {
        self.faults.contains(&Fault::FullDisk)
    }

    /// What a run of full length should have injected and has not. Without a disk that can be
    /// filled that fault is left out, which the report says.
    pub(crate) fn missing(&self, done: &BTreeMap<String, Times>, with_disk: bool) -> Vec<String> {
        let was_hit = |fault: &Fault| match self.coverage {
            Coverage::EachFault => done
                .get(&fault.to_string())
                .is_some_and(|times| times.hit > 0),
            Coverage::EachKind => done
                .values()
                .any(|times| times.kind == fault.kind() && times.hit > 0),
        };
        self.faults
            .iter()
            .filter(|fault| with_disk || **fault != Fault::FullDisk)
            .filter(|fault| !was_hit(fault))
            .map(|fault| format!("never injected, so nothing is shown: {fault}"))
            .collect()
    }
}

/// What must have been injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// Every fault of the mix.
    EachFault,
    /// Every kind of fault, somewhere.
    EachKind,
}

/// The places that a service comes to.
const SERVICE_POINTS: [Point; 6] = [
    Point::TurnBegun,
    Point::BeforeCommit,
    Point::InsideCommit,
    Point::AfterCommit,
    Point::BeforeAppend,
    Point::AfterAppend,
];
/// The places that a gateway comes to.
const GATEWAY_POINTS: [Point; 2] = [Point::BeforeSubmit, Point::AfterSubmit];

/// kill -9 of every role.
pub(crate) fn kills() -> Mix {
    Mix {
        name: "kill -9 of every role",
        faults: Role::ALL.map(Fault::Kill).into(),
        lanes: 2,
        coverage: Coverage::EachFault,
    }
}

/// The ways to the log.
pub(crate) fn log_network() -> Mix {
    Mix {
        name: "network to the log",
        faults: network(|way| way.to == Role::Log),
        lanes: 2,
        coverage: Coverage::EachFault,
    }
}

/// All other ways. A registry is asked at the start, so parts start while it is out of reach.
pub(crate) fn other_network() -> Mix {
    let mut faults = network(|way| way.to != Role::Log);
    faults.extend([Role::Order, Role::Inventory, Role::Gateway].map(Fault::Restart));
    faults.push(Fault::Kill(Role::Registry));
    Mix {
        name: "network to registry and services, client to gateway",
        faults,
        lanes: 3,
        coverage: Coverage::EachKind,
    }
}

/// The log comes and goes, and parts end inside of commits and appends.
pub(crate) fn log_and_places() -> Mix {
    let mut faults = crashes();
    faults.extend([Fault::Restart(Role::Log); 3]);
    faults.extend([Fault::Kill(Role::Log); 3]);
    Mix {
        name: "log restarts, ends at named places",
        faults,
        lanes: 3,
        coverage: Coverage::EachFault,
    }
}

/// Everything there is.
pub(crate) fn everything() -> Mix {
    let mut faults = network(|_| true);
    faults.extend(crashes());
    for role in Role::ALL {
        faults.extend([Fault::Kill(role), Fault::Restart(role), Fault::Pause(role)]);
    }
    faults.extend([Fault::FullDisk; 3]);
    Mix {
        name: "everything",
        faults,
        lanes: 3,
        coverage: Coverage::EachKind,
    }
}

fn network(of: impl Fn(&Way) -> bool) -> Vec<Fault> {
    let broken = |way| {
        [
            Fault::Cut(way),
            Fault::OneWay(way, Direction::Up),
            Fault::OneWay(way, Direction::Down),
            Fault::Slow(way),
            Fault::Reset(way),
        ]
    };
    Way::ALL.into_iter().filter(of).flat_map(broken).collect()
}

fn crashes() -> Vec<Fault> {
    let services = [Role::Order, Role::Inventory];
    let mut faults: Vec<_> = services
        .into_iter()
        .flat_map(|role| SERVICE_POINTS.map(|point| Fault::Crash(role, point)))
        .collect();
    faults.extend(GATEWAY_POINTS.map(|point| Fault::Crash(Role::Gateway, point)));
    faults
}
