//! Whether a store kept its promises, from its topics and its rows: the invariants F1 to F6.
