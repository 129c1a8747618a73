//! Fresh ids and random numbers, as a port.

use uuid::Uuid;

/// The port for randomness.
pub trait Ids: Send + Sync + 'static {
    /// A fresh UUIDv7 (RFC 9562): unique, and rising with time.
    fn fresh(&self) -> Uuid;

    /// A uniformly random number, for jitter and for ids of traces.
    fn random(&self) -> u64;
}

/// Ids from the operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the adapter that the ban points to"
)]
impl Ids for SystemIds {
    fn fresh(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn random(&self) -> u64 {
        // Six bits of it are fixed (RFC 9562, section 5.4), and no two of them in the same place.
        let (high, low) = Uuid::new_v4().as_u64_pair();
        high ^ low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_random_number_is_random() {
        let drawn: Vec<u64> = (0..200).map(|_| SystemIds.random()).collect();
        let ever = drawn.iter().fold(0, |all, one| all | one);
        let always = drawn.iter().fold(u64::MAX, |all, one| all & one);
        assert_eq!((ever, always), (u64::MAX, 0));
    }
}
