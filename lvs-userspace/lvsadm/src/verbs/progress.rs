//! A progress line: on a terminal it changes in place, otherwise each change is a line of its own.

use std::io::{self, Write};

/// The line that is shown while a verb waits.
pub(super) struct ProgressLine {
    terminal: bool,
    shown: String,
}

impl ProgressLine {
    pub(super) const fn new(terminal: bool) -> Self {
        Self {
            terminal,
            shown: String::new(),
        }
    }

    /// Shows a line in place of the one before.
    pub(super) fn show(&mut self, out: &mut impl Write, line: String) -> io::Result<()> {
        if self.terminal {
            // To the first column; then clear the rest of the line.
            write!(out, "\r{line}\x1b[K")?;
        } else if line != self.shown {
            writeln!(out, "{line}")?;
        }
        self.shown = line;
        out.flush()
    }

    /// Ends the line that is shown.
    pub(super) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        if self.terminal {
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool) -> String {
        let mut out = Vec::new();
        let mut progress = ProgressLine::new(terminal);
        for line in ["5 left", "5 left", "4 left"] {
            progress
                .show(&mut out, line.to_owned())
                .expect("memory takes it");
        }
        progress.end(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_change_is_a_line_or_replaces_the_line_on_a_terminal() {
        assert_eq!(shown(false), "5 left\n4 left\n");
        assert_eq!(shown(true), "\r5 left\x1b[K\r5 left\x1b[K\r4 left\x1b[K\n");
    }
}
