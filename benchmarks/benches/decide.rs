//! What a decision costs, each kind of message of both contexts.

mod common;

fn main() {
    common::run("decide", |group| {
        for case in common::decisions::cases() {
            common::time(group, case);
        }
    });
}
