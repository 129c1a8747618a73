//! What the fields of commands may hold.

use std::ops::RangeInclusive;

/// Longest id, in characters; all ids are `[A-Za-z0-9._-]{1,64}`.
pub const ID_LEN_MAX: usize = 64;
/// Most lines of an order; there is at least one.
pub const LINES_MAX: usize = 100;
/// Quantity of a line or a receipt.
pub const QUANTITY: RangeInclusive<i32> = 1..=1_000_000;
/// Price of one, in minor units.
pub const UNIT_PRICE_MINOR: RangeInclusive<i64> = 0..=1_000_000_000;
/// Deadline of an order, in milliseconds since the Unix epoch: up to the end of the year 9999, which is
/// as far as `google.protobuf.Timestamp` goes.
pub const RESERVE_BY: RangeInclusive<i64> = 0..=253_402_300_799_999;
/// Longest reason of a cancellation, in characters.
pub const REASON_LEN_MAX: usize = 200;
/// Page size of a list call that gives none (0).
pub const PAGE_SIZE_DEFAULT: i32 = 100;
/// Largest page of a list call.
pub const PAGE_SIZE_MAX: i32 = 1_000;

/// Whether `text` can be an id: `[A-Za-z0-9._-]{1,64}`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether `text` has the form of an ISO 4217 code: `[A-Z]{3}`.
#[must_use]
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
