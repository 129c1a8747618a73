//! Whether a store kept its promises, from its topics and its rows: the invariants F1 to F6.
//!
//! | room | what is there |
//! |---|---|
//! | [`record`] | the topics' records, decoded as far as they can be |
//! | [`checkpoint`] | how far the services have come |
//! | [`fold`] | the rules; pure, bounded in memory |
//! | [`snapshot`] | a store that stands still, judged at once |
//! | [`promises`] | what clients were told, as far as the rules cannot know it |
//! | [`running`] | a running store, audited over its log and its services |
//! | [`report`] | what was found |
//! | [`scope`] | parts of the store that fit into memory |

pub mod checkpoint;
mod digest;
pub mod fold;
pub mod promises;
pub mod record;
pub mod report;
pub mod running;
pub mod scope;
pub mod snapshot;

#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
