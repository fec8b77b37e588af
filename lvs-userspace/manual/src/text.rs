//! Help texts as roff: paragraphs, lists of options, lines to type.

use roff::{Inline, Roff, bold, roman};

/// A line of a help text.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Empty,
    /// At the left margin, with a colon at its end.
    Title(&'a str),
    /// An option or a command, and what it does.
    Entry(&'a str, &'a str),
    /// Goes on with the entry before.
    More(&'a str),
    /// A line to type.
    Command(&'a str),
    Prose(&'a str),
}

impl<'a> Line<'a> {
    /// Parses a line. Entries stand two columns from the margin or eight, their explanations two blanks behind them.
    fn parse(line: &'a str) -> Self {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        let (head, text) = match words.split_once("  ") {
            Some((head, text)) => (head, text.trim_start()),
            None => (words, ""),
        };
        match indent {
            _ if words.is_empty() => Self::Empty,
            0 => match words.strip_suffix(':') {
                Some(title) => Self::Title(title),
                None => Self::Prose(words),
            },
            2 if words.starts_with("lvs") || words.starts_with("ipvsadm") => Self::Command(words),
            2 if words.starts_with('-') || !text.is_empty() || !words.contains(' ') => {
                Self::Entry(head, text)
            }
            2 if words.starts_with(|first: char| first.is_ascii_lowercase()) => {
                Self::Entry(words, "")
            }
            2 => Self::Prose(words),
            8 if words.starts_with("--") && !text.is_empty() => Self::Entry(head, text),
            _ => Self::More(words),
        }
    }
}

/// Begins the paragraph that is a section of its own in a page.
const EXIT_STATUS: &str = "Exit status: ";

/// Renders a help text whose titles begin sections.
pub(crate) fn sections(roff: &mut Roff, text: &str) {
    lines(roff, text, "SH");
}

/// Renders a help text below a heading that stands already.
pub(crate) fn render(roff: &mut Roff, text: &str) {
    lines(roff, text, "SS");
}

fn lines(roff: &mut Roff, text: &str, heading: &str) {
    let mut in_entry = false;
    let mut is_new = true;
    let mut commands = false;
    for line in text.lines().map(Line::parse) {
        if commands && !matches!(line, Line::Command(_)) {
            roff.control("fi", []);
            commands = false;
            is_new = true;
        }
        let in_paragraph = !is_new && !in_entry;
        match line {
            Line::Empty => is_new = true,
            // The last line of a paragraph, and what it announces follows.
            Line::Title(title) if in_paragraph => roff_text(roff, &format!("{title}:")),
            Line::Title(title) => {
                let (title, rest) = title.split_once(", ").unwrap_or((title, ""));
                head(roff, heading, title);
                if !rest.is_empty() {
                    roff_text(roff, &format!("{rest}:"));
                }
                (in_entry, is_new) = (false, false);
            }
            Line::Entry(head, text) => {
                roff.control("TP", []);
                roff.text([bold(head)]);
                if !text.is_empty() {
                    roff.text(inline(text));
                }
                (in_entry, is_new) = (true, false);
            }
            Line::More(text) => roff_text(roff, text),
            Line::Command(command) => {
                if !commands {
                    roff.control("PP", []);
                    roff.control("nf", []);
                    commands = true;
                }
                roff_text(roff, command);
            }
            Line::Prose(text) if heading == "SH" && text.starts_with(EXIT_STATUS) => {
                head(roff, heading, "Exit status");
                roff_text(roff, &text[EXIT_STATUS.len()..]);
                (in_entry, is_new) = (false, false);
            }
            Line::Prose(text) => {
                if in_entry || is_new {
                    roff.control("PP", []);
                }
                (in_entry, is_new) = (false, false);
                roff_text(roff, text);
            }
        }
    }
    if commands {
        roff.control("fi", []);
    }
}

/// Begins a section; sections of a page are in capitals.
fn head(roff: &mut Roff, heading: &str, title: &str) {
    if heading == "SH" {
        roff.control(heading, [title.to_uppercase().as_str()]);
    } else {
        roff.control(heading, [title]);
    }
}

fn roff_text(roff: &mut Roff, text: &str) {
    roff.text(inline(text));
}

/// A text whose words between backticks are bold.
fn inline(text: &str) -> Vec<Inline> {
    let part = |(index, part): (usize, &str)| {
        if index % 2 == 0 {
            roman(part)
        } else {
            bold(part)
        }
    };
    text.split('`').enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_their_margin() {
        for (line, parsed) in [
            ("Services:", Line::Title("Services")),
            (
                "  -A, --add SERVICE     add it",
                Line::Entry("-A, --add SERVICE", "add it"),
            ),
            (
                "        --stats        counters",
                Line::Entry("--stats", "counters"),
            ),
            (
                "        [-s SCHEDULER] [-p]",
                Line::More("[-s SCHEDULER] [-p]"),
            ),
            ("  lvsadm -Ln", Line::Command("lvsadm -Ln")),
            ("  IPv6 is written so.", Line::Prose("IPv6 is written so.")),
            (
                "  reload, force-reload",
                Line::Entry("reload, force-reload", ""),
            ),
            ("", Line::Empty),
        ] {
            assert_eq!(Line::parse(line), parsed, "{line}");
        }
    }

    #[test]
    fn what_is_typed_keeps_its_lines() {
        let mut roff = Roff::new();
        render(
            &mut roff,
            "Try:\n  lvsadm -Ln\n  lvsadm status\nDone `so`.\n",
        );
        let text = roff.to_roff();
        assert!(
            text.contains(".nf\nlvsadm \\-Ln\nlvsadm status\n.fi\n.PP\n"),
            "{text}"
        );
        assert!(text.contains("Done \\fBso\\fR.\n"), "{text}");
    }
}
