//! The gateway's own limits; those of every server are `messaging::limits`.

use std::time::Duration;

/// How long a query may take whose caller gave no deadline.
pub(crate) const QUERY_MAX: Duration = Duration::from_secs(5);
/// How long connecting to a service may take.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Largest answer of a service: a page of 1,000 orders of 100 lines stays below.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long a cancellation waits for an order that may be on its way, before it is told that there is
/// none: Order is behind the log by less when all is well.
pub(crate) const CANCEL_WAIT: Duration = Duration::from_secs(1);
/// Customers whose calls are counted at one time, some 10 MiB.
pub(crate) const CUSTOMERS_MAX: usize = 65_536;
/// Orders of one `PlaceOrders` stream that are under way at one time; then reading pauses.
pub(crate) const PIPELINE_MAX: usize = 256;
/// Calls that answer with a stream open at one time: half of what Order holds open, so that the other half
/// is there for those who wait for an order that they place.
pub(crate) const STREAMS_IN_FLIGHT_MAX: usize = 512;
/// Connections to Order for watches: each carries [`messaging::limits::STREAMS_PER_CONNECTION_MAX`], and
/// all of them as many as the gateway's streams and the calls that wait for an order.
pub(crate) const WATCH_CONNECTIONS: usize = 16;
/// How often the gateway looks whether the log still answers.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Largest margin that is kept from a caller's deadline for the answer's way back.
const MARGIN_MAX: Duration = Duration::from_millis(200);

/// What may be used of a deadline that is `remaining` away: less a tenth, at most 200 ms, so that
/// the gateway's own answer comes first.
pub(crate) fn budget(remaining: Duration) -> Duration {
    remaining - (remaining / 10).min(MARGIN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_tenth_and_never_large() {
        assert_eq!(budget(Duration::ZERO), Duration::ZERO);
        assert_eq!(budget(Duration::from_secs(1)), Duration::from_millis(900));
        assert_eq!(
            budget(Duration::from_secs(30)),
            Duration::from_millis(29_800)
        );
    }
}
