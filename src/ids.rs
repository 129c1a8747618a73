//! Fresh ids and random numbers, as a port.

use uuid::Uuid;

/// The port for randomness.
pub trait Ids: Send + Sync + 'static {
    /// A fresh UUIDv7 (RFC 9562): unique, and rising with time.
    fn fresh(&self) -> Uuid;

    /// A uniformly random number, for jitter.
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
        Uuid::new_v4().as_u64_pair().1
    }
}
