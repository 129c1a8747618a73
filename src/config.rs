//! Settings that the services share.
