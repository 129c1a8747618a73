//! What a run tells of its faults.

use std::collections::BTreeMap;

use crate::fault::Times;

/// What was injected, and how often.
pub(crate) fn faults(done: &BTreeMap<String, Times>) -> String {
    let mut lines = vec![format!("{:>7}  injected", "times")];
    for (fault, times) in done {
        let missed = match times.missed {
            0 => String::new(),
            missed => format!(" (and {missed} times in vain)"),
        };
        lines.push(format!("{:>7}  {fault}{missed}", times.hit));
    }
    let hits: u32 = done.values().map(|times| times.hit).sum();
    lines.push(format!("{hits:>7}  together"));
    lines.join("\n")
}
