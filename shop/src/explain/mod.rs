//! `shop explain`: an order's way through the services, and what it waits for.
//!
//! | room | what happens there |
//! |---|---|
//! | [`facts`] | what was found: messages, rows, checkpoints, or why they could not be had |
//! | [`timeline`] | the messages in the sequence of causes, with what is noticeable about each (pure) |
//! | [`marks`] | duplicates, conflicts, parked and unread messages (pure) |
//! | [`verdict`] | what the order waits for (pure) |
//! | [`notes`] | what could not be had (pure) |
//! | [`words`] | messages in a few words |
//! | [`report`] | the lines for people, and for programs |
//! | [`gather`] | everything that is asked, and in which sequence |
//! | `scan`, `decode`, `ask` | the log, its records, the services |

pub mod facts;
pub mod gather;
pub mod marks;
pub mod notes;
pub mod report;
pub mod timeline;
pub mod verdict;
pub mod words;

mod ask;
mod decode;
mod scan;

#[cfg(test)]
mod given;
