//! The checks check themselves: the same seed gives the same run, byte for byte (C5).

use crate::run;

/// Seeds that are run twice.
const SEEDS: u64 = 25;

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..SEEDS {
        let (first, second) = (run::seed(seed, true), run::seed(seed, true));
        assert!(!first.trace.is_empty());
        let differs = first
            .trace
            .iter()
            .zip(&second.trace)
            .position(|(one, other)| one != other);
        if let Some(line) = differs {
            panic!(
                "seed {seed} differs at line {line}:\n{}\n{}",
                first.trace[line], second.trace[line]
            );
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_traces() {
    assert_ne!(run::seed(1, true).trace, run::seed(2, true).trace);
}
