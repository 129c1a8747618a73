//! What the demo prints.

use std::io::Write;

/// Prints a line, or several. An output that is closed does not stop the demo.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The heading of a story.
pub(super) fn story(number: u32, title: &str, text: &str) {
    say(&format!("\n{number}. {title}\n"));
    say(text);
}

/// A command that shows the same as what follows.
pub(super) fn command(line: &str) {
    say(&format!("\n   $ shop {line}"));
}

/// What a command prints.
pub(super) fn output(text: &str) {
    for line in text.lines() {
        say(&format!("   {line}"));
    }
}
