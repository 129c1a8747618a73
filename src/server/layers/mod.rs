//! What stands between the wire and the services.

pub mod deadline;
mod expiry;
pub mod guard;
pub(super) mod methods;
pub(super) mod observe;
pub(super) mod panic;
pub(super) mod shed;
mod traced;

pub use deadline::Deadline;
pub use guard::Guard;

/// Services that operators need most when everything else is refused; they are open to everybody.
const OPEN: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];
