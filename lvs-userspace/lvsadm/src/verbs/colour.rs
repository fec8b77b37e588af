//! Colours on a terminal.

use anstyle::{AnsiColor, Style};

/// Text in this colour.
pub(super) fn style(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

/// The text in a style, if colours are on.
pub(super) fn painted(colour: bool, text: &str, style: Style) -> String {
    if colour {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
