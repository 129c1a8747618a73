//! Backoff as a value: exponential, with full jitter below a cap.

use std::time::Duration;

/// A policy for waiting between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The first wait's upper bound.
    pub first: Duration,
    /// The upper bound that later waits grow to.
    pub max: Duration,
}

/// The waits of one series of tries.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    policy: Policy,
    failures: u32,
}

impl Policy {
    /// A new series.
    #[must_use]
    pub fn start(self) -> Backoff {
        Backoff {
            policy: self,
            failures: 0,
        }
    }
}

impl Backoff {
    /// The next wait: between half of the bound and the bound, which doubles per failure.
    pub fn next(&mut self, random: u64) -> Duration {
        let doubled = self
            .policy
            .first
            .saturating_mul(1_u32 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let bound = doubled.min(self.policy.max);
        let half = bound / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(random.checked_rem(micros.saturating_add(1)).unwrap_or(0))
    }

    /// Forgets earlier failures after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_to_the_cap_and_never_pass_it(randoms in proptest::collection::vec(any::<u64>(), 1..40)) {
            let policy = Policy { first: Duration::from_millis(20), max: Duration::from_secs(1) };
            let mut backoff = policy.start();
            for (failures, random) in randoms.into_iter().enumerate() {
                let wait = backoff.next(random);
                let bound = (policy.first * 2_u32.pow(failures.min(16) as u32)).min(policy.max);
                prop_assert!(wait >= bound / 2 && wait <= bound);
            }
        }
    }
}
