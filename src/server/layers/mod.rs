//! What stands between the wire and the services.

pub mod deadline;
pub(super) mod methods;
pub(super) mod observe;
pub(super) mod panic;
pub(super) mod shed;

pub use deadline::Deadline;
