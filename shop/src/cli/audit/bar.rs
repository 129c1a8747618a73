//! How far the reading has come: a bar on a terminal, a line now and then elsewhere.

use std::io::Write;

use audit::running::Progress;

/// Characters of the bar.
const WIDTH: u64 = 30;
/// Without a terminal, a line is written after this many items of one kind.
const LINE_EVERY: u64 = 250_000;

/// The progress of an audit, for people. What cannot be written is let go: it is no result.
pub(super) struct Bar<W> {
    out: W,
    is_terminal: bool,
    /// What was shown last: kind, pass, and the step that it stood for.
    shown: Option<(&'static str, u64, u64)>,
}

impl<W: Write> Bar<W> {
    pub(super) fn new(out: W, is_terminal: bool) -> Self {
        Self {
            out,
            is_terminal,
            shown: None,
        }
    }

    /// Shows how far it has come, if that is news.
    pub(super) fn show(&mut self, progress: Progress) {
        let Progress {
            what,
            done,
            of,
            pass,
            passes,
        } = progress;
        let step = match (self.is_terminal, of) {
            (true, 1..) => done * 100 / of,
            (true, 0) => done / 1_000,
            (false, _) => done / LINE_EVERY,
        };
        let is_first_line = !self.is_terminal && step == 0;
        if self.shown == Some((what, pass, step)) || is_first_line {
            return;
        }
        self.shown = Some((what, pass, step));
        let passes = if passes > 1 {
            format!(" (pass {pass} of {passes})")
        } else {
            String::new()
        };
        let count = if of > 0 {
            format!("{done} of {of}")
        } else {
            done.to_string()
        };
        let _ = if self.is_terminal {
            let full = (WIDTH * done.min(of)).checked_div(of).unwrap_or(0);
            let bar: String = (0..WIDTH)
                .map(|at| if at < full { '#' } else { '.' })
                .collect();
            write!(self.out, "\r\x1b[K[{bar}] {what} {count}{passes}")
        } else {
            writeln!(self.out, "audit: {what} {count}{passes}")
        };
        let _ = self.out.flush();
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if self.is_terminal {
            let _ = write!(self.out, "\r\x1b[K");
            let _ = self.out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_terminal: bool, steps: &[(u64, u64)]) -> String {
        let mut out = Vec::new();
        let mut bar = Bar::new(&mut out, is_terminal);
        for (done, of) in steps {
            bar.show(Progress {
                what: "topics",
                done: *done,
                of: *of,
                pass: 1,
                passes: 2,
            });
        }
        bar.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_gets_a_bar_that_goes_away() {
        let text = shown(true, &[(50, 100), (50, 100)]);
        assert_eq!(text.matches("topics 50 of 100 (pass 1 of 2)").count(), 1);
        assert!(text.contains("[###############...............]"), "{text}");
        assert!(text.ends_with("\r\x1b[K"));
    }

    #[test]
    fn a_file_gets_a_line_now_and_then() {
        assert_eq!(shown(false, &[(10, 300_000)]), "");
        assert_eq!(
            shown(
                false,
                &[(10, 300_000), (260_000, 300_000), (270_000, 300_000)]
            ),
            "audit: topics 260000 of 300000 (pass 1 of 2)\n"
        );
    }
}
