//! Text that may be shown on a terminal.

use std::fmt;

use ratatui::text::Span;

/// Text without a character that a terminal or a reader would obey: each of them is a `?`.
///
/// Names and sentences of lvsd's answers come from files, name servers and real servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.chars().all(is_printable) {
            return Self(text);
        }
        let printable = |letter| if is_printable(letter) { letter } else { '?' };
        Self(text.chars().map(printable).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Columns that it takes.
    pub(crate) fn width(&self) -> usize {
        Span::raw(self.as_str()).width()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// False for control characters, for those that change the direction of the text around them (Unicode TR 9), for
/// separators of lines, and for those without width.
fn is_printable(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_is_left() {
        for (text, shown) in [
            ("web-1.example", "web-1.example"),
            ("b\u{fc}ro", "b\u{fc}ro"),
            ("\x1b[31mred\x07", "?[31mred?"),
            ("\u{9b}2J", "?2J"),
            ("a\r\nb\tc\x7f", "a??b?c?"),
            ("up\u{202e}nwod", "up?nwod"),
        ] {
            assert_eq!(Text::new(text).as_str(), shown, "{text:?}");
        }
    }
}
