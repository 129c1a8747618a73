//! Which records are past their time.

use super::Retention;
use super::segment::Segment;
use super::store::{AppendError, Bounds, Store};

impl Store {
    /// Removes what is past retention. Blocks.
    pub(super) fn retain(&self, retention: Retention, now_ms: i64) -> Result<Bounds, AppendError> {
        let start = first_kept(&self.read_state().segments, retention, now_ms);
        match start {
            Some(start) => self.remove_before(start, now_ms),
            None => Ok(self.bounds()),
        }
    }
}

/// The first offset to keep, or None if there is nothing.
fn first_kept(segments: &[Segment], retention: Retention, now_ms: i64) -> Option<i64> {
    let max_age_ms = i64::try_from(retention.max_age.as_millis()).unwrap_or(i64::MAX);
    let mut kept_bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut first_kept = segments.first()?.base_offset;
    for (at, segment) in segments.iter().enumerate() {
        let is_old = now_ms.saturating_sub(segment.written_ms) > max_age_ms;
        kept_bytes -= segment.bytes;
        let is_active = at + 1 == segments.len();
        let is_surplus = retention.max_bytes.is_some_and(|max| kept_bytes >= max) && !is_active;
        if !is_old && !is_surplus {
            break;
        }
        first_kept = segment.end_offset;
    }
    Some(first_kept)
}
