//! Packets by verdict.

use lvs_api::protocol::VerdictCount;

use crate::rate::VerdictRates;
use crate::style::Tone;
use crate::table::{Cell, Column, Key, Row};
use crate::text::Text;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Verdict", 20),
    Column::number("PPS", 7),
    Column::number("Packets", 8),
    Column::text("Meaning", 41),
];

/// By rate.
pub(super) const SORT: usize = 1;

/// Those that occurred.
pub(super) fn rows(counts: &[VerdictCount], rates: &VerdictRates) -> Vec<Row> {
    let occurred = counts.iter().filter(|count| count.packets > 0);
    occurred.map(|count| row(count, rates)).collect()
}

fn row(count: &VerdictCount, rates: &VerdictRates) -> Row {
    let rate = rates.of(&count.name);
    let lost = count.name.starts_with("drop-") || count.name == "not-sent";
    let tone = match rate {
        Some(1..) if lost => Tone::Bad,
        _ if lost => Tone::Warning,
        _ => Tone::Plain,
    };
    Row {
        key: Key::Other("verdict", count.name.clone()),
        cells: vec![
            Cell::Ranked(0, Text::new(count.name.as_str()), tone),
            rate.map_or(Cell::Nothing, Cell::Tenths),
            Cell::Number(count.packets),
            Cell::Text(Text::new(count.explanation.as_str())),
        ],
        detail: Text::new(format!("{}: {}", count.name, count.explanation)),
        below: Vec::new(),
    }
}
