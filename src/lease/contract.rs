//! The contract suite of the `Lease` port.
