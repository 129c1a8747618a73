//! What a message costs to encode and to decode, each type of the contracts.

mod common;

fn main() {
    common::run("codec", |group| {
        for case in common::messages::cases() {
            common::time(group, case);
        }
    });
}
