//! A table of a page: columns, and rows that are sorted, filtered and opened.

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;
use std::net::SocketAddr;

use lvs_api::model::ServiceId;

use crate::number;
use crate::style::Tone;
use crate::text::Text;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Columns of the terminal that it has at least.
    pub(crate) width: u16,
    /// It takes more where there is room and its text is longer.
    pub(crate) grows: bool,
    /// Its numbers end at its right edge, and the largest come first.
    pub(crate) numbers: bool,
}

impl Column {
    /// A column of text, which grows.
    pub(crate) const fn text(title: &'static str, width: u16) -> Self {
        Self {
            title,
            width,
            grows: true,
            numbers: false,
        }
    }

    /// A column of words that are known to fit.
    pub(crate) const fn word(title: &'static str, width: u16) -> Self {
        Self {
            title,
            width,
            grows: false,
            numbers: false,
        }
    }

    /// A column of numbers.
    pub(crate) const fn number(title: &'static str, width: u16) -> Self {
        Self {
            title,
            width,
            grows: false,
            numbers: true,
        }
    }
}

/// Identity of a row, by which it stays chosen while others move.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Service(ServiceId),
    Server(ServiceId, SocketAddr),
    /// Kind and name.
    Other(&'static str, String),
}

/// A value in a table. The order of two is that of what they mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// Not known.
    Nothing,
    Number(u64),
    /// Tenths.
    Tenths(u64),
    /// Seconds.
    Age(u64),
    /// All of so many but those that are missing; where most are missing comes first.
    Part {
        missing: Reverse<u64>,
        of: u64,
    },
    /// A text with a place in the order of its kind.
    Ranked(u8, Text, Tone),
    /// An address, and a name.
    Address(SocketAddr, Text),
    /// A virtual service: its identity, and the text of it.
    Service(ServiceId, Text),
    Text(Text),
}

impl Cell {
    /// As many columns as a screen has.
    pub(crate) fn short(&self) -> Text {
        match self {
            Self::Number(number) => Text::new(number::compact(*number)),
            Self::Tenths(tenths) if *tenths >= 100 => Text::new(number::compact(tenths / 10)),
            Self::Age(seconds) => Text::new(number::age(*seconds)),
            cell => cell.exact(),
        }
    }

    /// Exact, for programs.
    pub(crate) fn exact(&self) -> Text {
        match self {
            Self::Nothing => Text::new("-"),
            Self::Number(number) | Self::Age(number) => Text::new(number.to_string()),
            Self::Tenths(tenths) => Text::new(format!("{}.{}", tenths / 10, tenths % 10)),
            Self::Part { missing, of } => {
                Text::new(format!("{}/{of}", of.saturating_sub(missing.0)))
            }
            Self::Address(address, name) if name.as_str().is_empty() => {
                Text::new(address.to_string())
            }
            Self::Address(address, name) => Text::new(format!("{address} {name}")),
            Self::Ranked(_, text, _) | Self::Service(_, text) | Self::Text(text) => text.clone(),
        }
    }

    const fn is_text(&self) -> bool {
        matches!(
            self,
            Self::Ranked(..) | Self::Address(..) | Self::Service(..) | Self::Text(_)
        )
    }

    pub(crate) const fn tone(&self) -> Tone {
        match self {
            Self::Ranked(_, _, tone) => *tone,
            Self::Part {
                missing: Reverse(0),
                ..
            } => Tone::Plain,
            Self::Part { missing, of } if missing.0 == *of => Tone::Bad,
            Self::Part { .. } => Tone::Warning,
            _ => Tone::Plain,
        }
    }
}

/// A row, and those below it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    /// One for each column.
    pub(crate) cells: Vec<Cell>,
    /// Everything about it that does not fit, in a line.
    pub(crate) detail: Text,
    pub(crate) below: Vec<Row>,
}

/// The order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    /// Index of the column.
    pub(crate) column: usize,
    /// The other way round: the smallest number first, the last word first.
    pub(crate) inverted: bool,
}

impl Sort {
    /// Sorts rows, and those below them.
    pub(crate) fn apply(self, rows: &mut [Row], columns: &[Column]) {
        let descending = columns
            .get(self.column)
            .is_some_and(|column| column.numbers != self.inverted);
        rows.sort_by(|a, b| self.compare(descending, a, b));
        for row in rows {
            row.below.sort_by(|a, b| self.compare(descending, a, b));
        }
    }

    /// Rows that are equal stay in the order of their identities, so that none jumps.
    fn compare(self, descending: bool, a: &Row, b: &Row) -> Ordering {
        let order = a.cells.get(self.column).cmp(&b.cells.get(self.column));
        let order = if descending { order.reverse() } else { order };
        order.then_with(|| a.key.cmp(&b.key))
    }
}

/// Words that rows are filtered by: those of which a row contains one, in any case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<String>);

impl Filter {
    /// Words separated by `|`; without any, every row passes.
    pub(crate) fn new(words: &str) -> Self {
        let words = words.split('|').map(str::trim);
        let words = words.filter(|word| !word.is_empty());
        Self(words.map(str::to_lowercase).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Numbers are no words.
    fn passes(&self, row: &Row) -> bool {
        let contained = |text: &Text| {
            let text = text.as_str().to_lowercase();
            self.0.iter().any(|word| text.contains(word.as_str()))
        };
        contained(&row.detail)
            || row
                .cells
                .iter()
                .filter(|cell| cell.is_text())
                .any(|cell| contained(&cell.exact()))
    }

    /// Keeps rows that pass. One that does not, but has some below it that do, is kept with these.
    pub(crate) fn apply(&self, rows: &mut Vec<Row>) {
        if self.is_empty() {
            return;
        }
        rows.retain_mut(|row| {
            if self.passes(row) {
                return true;
            }
            row.below.retain(|row| self.passes(row));
            !row.below.is_empty()
        });
    }
}

/// A row that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) row: Row,
    /// 1: it is below another one.
    pub(crate) depth: u16,
    /// There are rows below it, shown or not.
    pub(crate) open: Option<bool>,
}

/// The lines of rows, those below open ones included.
pub(crate) fn lines(rows: Vec<Row>, is_open: impl Fn(&Key) -> bool) -> Vec<Line> {
    let mut lines = Vec::with_capacity(rows.len());
    for mut row in rows {
        let below = std::mem::take(&mut row.below);
        let open = (!below.is_empty()).then(|| is_open(&row.key));
        lines.push(Line {
            row,
            depth: 0,
            open,
        });
        if open == Some(true) {
            lines.extend(below.into_iter().map(|row| Line {
                row,
                depth: 1,
                open: None,
            }));
        }
    }
    lines
}

/// Rows that are open: all, or those that an operator opened or closed.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    all: bool,
    /// Those that are not as all are.
    others: HashSet<Key>,
}

impl Opened {
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.all != self.others.contains(key)
    }

    pub(crate) fn toggle(&mut self, key: &Key) {
        if !self.others.remove(key) {
            self.others.insert(key.clone());
        }
    }

    pub(crate) fn toggle_all(&mut self) {
        self.all = !self.all;
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, number: u64, below: Vec<Row>) -> Row {
        Row {
            key: Key::Other("row", name.to_owned()),
            cells: vec![Cell::Text(Text::new(name)), Cell::Number(number)],
            detail: Text::default(),
            below,
        }
    }

    const COLUMNS: [Column; 2] = [Column::text("Name", 8), Column::number("Rate", 6)];

    fn shown(rows: Vec<Row>, opened: &Opened) -> Vec<String> {
        lines(rows, |key| opened.contains(key))
            .iter()
            .map(|line| format!("{}{}", line.depth, line.row.cells[0].short()))
            .collect()
    }

    fn tree() -> Vec<Row> {
        vec![
            row("a", 3, vec![row("x", 1, vec![]), row("y", 2, vec![])]),
            row("b", 9, vec![row("z", 9, vec![])]),
            row("c", 3, vec![]),
        ]
    }

    fn sorted(column: usize, inverted: bool) -> Vec<String> {
        let mut rows = tree();
        Sort { column, inverted }.apply(&mut rows, &COLUMNS);
        let mut opened = Opened::default();
        opened.toggle_all();
        shown(rows, &opened)
    }

    #[test]
    fn the_largest_numbers_and_the_first_words_come_first() {
        assert_eq!(sorted(1, false), ["0b", "1z", "0a", "1y", "1x", "0c"]);
        assert_eq!(sorted(1, true), ["0a", "1x", "1y", "0c", "0b", "1z"]);
        assert_eq!(sorted(0, false), ["0a", "1x", "1y", "0b", "1z", "0c"]);
        assert_eq!(sorted(0, true), ["0c", "0b", "1z", "0a", "1y", "1x"]);
    }

    #[test]
    fn addresses_are_sorted_as_numbers() {
        let cell = |address: &str| {
            let address = address.parse().expect("an address");
            Cell::Address(address, Text::default())
        };
        assert!(cell("10.0.0.9:80") < cell("10.0.0.10:80"));
        assert!(cell("10.0.0.9:80") < cell("10.0.0.9:443"));
    }

    #[test]
    fn where_most_servers_are_missing_comes_first() {
        let up = |up: u64, of: u64| Cell::Part {
            missing: Reverse(of - up),
            of,
        };
        assert!(up(1, 3) < up(2, 3));
        assert_eq!(up(1, 3).short().as_str(), "1/3");
        assert_eq!(
            [up(0, 2), up(1, 2), up(2, 2), up(0, 0)].map(|cell| cell.tone()),
            [Tone::Bad, Tone::Warning, Tone::Plain, Tone::Plain]
        );
    }

    #[test]
    fn a_row_below_brings_the_one_above_it_through_the_filter() {
        let mut opened = Opened::default();
        opened.toggle_all();
        for (words, left) in [
            ("", vec!["0a", "1x", "1y", "0b", "1z", "0c"]),
            ("Y", vec!["0a", "1y"]),
            ("a", vec!["0a", "1x", "1y"]),
            ("z | c", vec!["0b", "1z", "0c"]),
            ("q", vec![]),
            // A rate is no word.
            ("9", vec![]),
        ] {
            let mut rows = tree();
            Filter::new(words).apply(&mut rows);
            assert_eq!(shown(rows, &opened), left, "{words:?}");
        }
    }

    #[test]
    fn rows_are_opened_one_by_one_or_all() {
        let mut opened = Opened::default();
        assert_eq!(shown(tree(), &opened), ["0a", "0b", "0c"]);
        opened.toggle(&Key::Other("row", "b".to_owned()));
        assert_eq!(shown(tree(), &opened), ["0a", "0b", "1z", "0c"]);
        opened.toggle_all();
        opened.toggle(&Key::Other("row", "b".to_owned()));
        assert_eq!(shown(tree(), &opened), ["0a", "1x", "1y", "0b", "0c"]);
    }
}
