//! The contract suite of the `Store` port.
