//! Times between the gRPC API and the store, which counts milliseconds since the Unix epoch.

use messaging::clock::Timestamp;

/// A time as the API shows it.
#[must_use]
pub fn shown(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000),
        // Below 1e9 by construction.
        nanos: i32::try_from(time.0.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
    }
}

/// A time as the API gave it, saturating; what is finer than a millisecond is cut off. Nanoseconds
/// that no second has make it the earliest of all times, which nothing in the store may hold.
#[must_use]
pub fn read(time: &prost_types::Timestamp) -> Timestamp {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Timestamp(i64::MIN);
    }
    let millis = time.seconds.saturating_mul(1_000);
    Timestamp(millis.saturating_add(i64::from(time.nanos / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_shown() {
        for time in [-1, 0, 1_795_305_600_123].map(Timestamp) {
            assert_eq!(read(&shown(time)), time);
        }
        let early = shown(Timestamp(-1));
        assert_eq!((early.seconds, early.nanos), (-1, 999_000_000));
    }

    #[test]
    fn what_is_no_time_is_read_as_one_that_nothing_may_hold() {
        let time = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        for wrong in [time(0, -1), time(0, 1_000_000_000), time(i64::MAX, 0)] {
            assert!(
                !crate::limits::RESERVE_BY.contains(&read(&wrong).0),
                "{wrong:?}"
            );
        }
        assert_eq!(
            read(&time(1, 1_999_999)),
            Timestamp(1_001),
            "cut off, not rounded"
        );
    }
}
