//! Text of a log line.

use std::fmt::{self, Write as _};

use chrono::Local;
use tracing::Event;
use tracing::field::{Field, Visit};

/// The local time as C's `ctime` writes it: `Sat Nov 21 16:06:17 2026`.
pub(super) fn ctime() -> String {
    Local::now().format("%a %b %e %H:%M:%S %Y").to_string()
}

/// An event's message with its other fields behind it.
pub(super) fn text(event: &Event<'_>) -> String {
    let mut text = Text::default();
    event.record(&mut text);
    escaped(&(text.message + &text.fields))
}

/// One event is one line, whatever a server answered.
pub(crate) fn escaped(text: &str) -> String {
    let other = |c: char| c.is_control() && c != '\t';
    text.replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace(other, "?")
}

/// True for a field that only the journal shows: the message of its event says the same.
pub(crate) fn is_for_the_journal(field: &str) -> bool {
    field.starts_with("lvs_")
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name if is_for_the_journal(name) => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(
            escaped("HTTP 200\r\nforged\t\u{1b}[31m"),
            "HTTP 200\\r\\nforged\t?[31m"
        );
    }
}
