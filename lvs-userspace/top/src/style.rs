//! Styles: colours say nothing that words do not say.

use ratatui::style::{Color, Modifier, Style};

/// The meaning of a cell or row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    /// An operator's doing.
    Operator,
    Warning,
    Bad,
}

/// The style of a tone; without colours what is bad is bold.
pub(crate) fn style(tone: Tone, colour: bool) -> Style {
    let (shade, weight) = match tone {
        Tone::Plain => return Style::new(),
        Tone::Good => (Color::Green, Modifier::empty()),
        Tone::Operator => (Color::Blue, Modifier::empty()),
        Tone::Warning => (Color::Yellow, Modifier::empty()),
        Tone::Bad => (Color::Red, Modifier::BOLD),
    };
    let style = Style::new().add_modifier(weight);
    if colour { style.fg(shade) } else { style }
}

/// The style of a chosen tab or row, and of the names of keys.
pub(crate) const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The style of titles.
pub(crate) const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
