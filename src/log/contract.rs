//! The contract suite of the `Log` port.
