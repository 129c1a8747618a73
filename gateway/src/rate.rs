//! How many calls each customer may make: a bucket of tokens each, filled at a steady rate. Pure: time
//! comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::CUSTOMERS_MAX;

/// The limit of each customer. By default there is none.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct RateArgs {
    /// Calls that each customer may make per second, each order of a stream being one [default: no
    /// limit].
    #[arg(
        long,
        env = "SHOP_CUSTOMER_RATE",
        value_name = "N",
        requires = "auth_jwks",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub customer_rate: Option<u32>,

    /// Calls that a customer may make at once who made none for a while [default: those of a second].
    #[arg(
        long,
        env = "SHOP_CUSTOMER_BURST",
        value_name = "N",
        requires = "customer_rate",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub customer_burst: Option<u32>,
}

/// What each customer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time in which one token comes.
    interval: Duration,
    /// The time in which an empty bucket fills.
    fill: Duration,
}

impl Rate {
    /// `per_second` tokens come each second, into a bucket of `burst`; both at least 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            fill: interval * burst.max(1),
        }
    }
}

impl RateArgs {
    /// The limit, if there is one.
    #[must_use]
    pub fn rate(self) -> Option<Rate> {
        let per_second = self.customer_rate?;
        Some(Rate::new(
            per_second,
            self.customer_burst.unwrap_or(per_second),
        ))
    }
}

/// Everybody's buckets.
///
/// Of each only the time is kept at which it will be full. A bucket that is full needs no room; when
/// there are [`CUSTOMERS_MAX`] that are not, the fuller half of them is forgotten. So nobody empties
/// a memory, and nobody fills the own bucket by it: names are those of verified tokens.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    full_at: HashMap<String, Instant>,
    customers_max: usize,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: HashMap::new(),
            customers_max: CUSTOMERS_MAX,
        }
    }

    /// Takes a token of `customer` at `now`.
    ///
    /// # Errors
    /// The time until there is one.
    pub(crate) fn take(&mut self, customer: &str, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.get(customer).map_or(now, |full_at| *full_at);
        let after = full_at.max(now) + self.rate.interval;
        let lacking = after - now;
        if lacking > self.rate.fill {
            return Err(lacking - self.rate.fill);
        }
        match self.full_at.get_mut(customer) {
            Some(full_at) => *full_at = after,
            None => {
                self.make_room(now);
                self.full_at.insert(customer.to_owned(), after);
            }
        }
        Ok(())
    }

    fn make_room(&mut self, now: Instant) {
        if self.full_at.len() < self.customers_max {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.customers_max {
            return;
        }
        let mut times: Vec<_> = self.full_at.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.full_at.retain(|_, full_at| *full_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 4 per second, 8 at once.
    fn buckets() -> (Buckets, Instant) {
        (Buckets::new(Rate::new(4, 8)), Instant::now())
    }

    #[test]
    fn a_burst_passes_and_then_the_steady_rate() {
        let (mut buckets, now) = buckets();
        for _ in 0..8 {
            assert_eq!(buckets.take("C1", now), Ok(()));
        }
        assert_eq!(buckets.take("C1", now), Err(SECOND / 4));
        let soon = now + SECOND / 8;
        assert_eq!(
            buckets.take("C1", soon),
            Err(SECOND / 8),
            "the wait is the real one"
        );
        assert_eq!(buckets.take("C1", now + SECOND / 4), Ok(()));
        assert_eq!(buckets.take("C1", now + SECOND / 4), Err(SECOND / 4));
        assert_eq!(buckets.take("C2", now), Ok(()), "everybody has their own");
    }

    #[test]
    fn who_is_refused_pays_nothing_and_a_bucket_is_never_more_than_full() {
        let (mut buckets, now) = buckets();
        for _ in 0..1_000 {
            let _ = buckets.take("C1", now);
        }
        assert_eq!(buckets.take("C1", now + SECOND / 4), Ok(()));
        let later = now + 100 * SECOND;
        let taken = (0..100).filter(|_| buckets.take("C1", later).is_ok());
        assert_eq!(taken.count(), 8);
    }

    #[test]
    fn other_names_do_not_fill_an_empty_bucket() {
        let (mut buckets, now) = buckets();
        buckets.customers_max = 16;
        while buckets.take("EMPTY", now).is_ok() {}
        for other in 0..1_000 {
            assert_eq!(buckets.take(&format!("C{other}"), now), Ok(()));
            assert!(buckets.full_at.len() <= 16);
            assert!(buckets.take("EMPTY", now).is_err(), "after {other}");
        }
    }
}
