//! The checker's own tests: histories made by hand, right ones and wrong ones.

mod appends;
mod commits;
mod counted;
mod history;
mod replays;
mod stock;
mod waiting;
