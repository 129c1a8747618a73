//! The checker's own tests: histories made by hand, right ones and wrong ones.

mod actions;
mod appends;
mod commits;
mod counted;
mod customers;
mod history;
mod lasting;
mod replays;
mod stock;
mod waiting;
