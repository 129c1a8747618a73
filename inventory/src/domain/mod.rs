//! The rules of stock: what may be held, who waits, who is served next.
//!
//! Everything here is pure. One batch's part of the stock book is a [`book::Book`]; each rule is a
//! function over it in a room of its own:
//!
//! | room | rule |
//! |---|---|
//! | [`place`] | an order is held whole, waits, or is refused |
//! | [`settle`] | a cancelled order gives back, a completed one ships |
//! | [`receive`] | goods arrive, once per receipt |
//! | [`deadline`] | who is not served in time is refused, and frees the queue |
//! | [`fulfilment`] | waiters are served in order, a bounded number at a time |

pub mod book;
pub mod changes;
pub mod deadline;
pub mod event;
pub mod fulfilment;
pub mod ids;
pub mod marks;
pub mod place;
pub mod queue;
pub mod receive;
pub mod reservation;
pub mod rows;
pub mod settle;
pub mod stock;

#[cfg(test)]
pub(crate) mod given;
