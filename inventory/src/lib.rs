//! The Inventory bounded context: how much of each product is there, promised, and waited for.
//!
//! | module | what |
//! |---|---|
//! | [`domain`] | the rules, pure |
//! | [`context`], [`wire`] | which message goes to which rule; events as the contract's messages |
//! | [`store`] | the book's tables, what a turn loads and writes, queries |
//! | [`limits`] | how much one turn looks at |

pub mod context;
pub mod domain;
pub mod limits;
pub mod store;
pub mod wire;
