//! The contract suite of the `SchemaRegistry` port.
