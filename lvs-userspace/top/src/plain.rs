//! A page as plain text, for programs: exact numbers, nothing cut off.

use std::io::{self, Write};

use crate::app::App;
use crate::draw::{director_line, nothing, traffic_line};
use crate::table::Line;
use crate::text::Text;
use crate::view;

/// Writes the page that is chosen, all its rows.
pub(crate) fn write(out: &mut impl Write, app: &App) -> io::Result<()> {
    if let Some(snapshot) = app.snapshot() {
        writeln!(out, "{}", director_line(snapshot))?;
        writeln!(
            out,
            "{}",
            traffic_line(snapshot, |number| number.to_string())
                .as_str()
                .trim_end()
        )?;
    }
    writeln!(out, "{}: {}\n", app.tab.title(), app.summary())?;
    let columns = view::columns(app.tab);
    let mut table = vec![
        columns
            .iter()
            .map(|column| Text::new(column.title))
            .collect(),
    ];
    table.extend(app.lines().iter().map(cells));
    let width = |index: usize| {
        let cells = table
            .iter()
            .filter_map(|cells: &Vec<Text>| cells.get(index));
        cells.map(Text::width).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    for cells in &table {
        let cells = cells.iter().zip(columns).zip(&widths);
        let line: Vec<_> = cells
            .map(|((cell, column), width)| {
                let blank = " ".repeat(width - cell.width());
                if column.numbers {
                    format!("{blank}{cell}")
                } else {
                    format!("{cell}{blank}")
                }
            })
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    if app.lines().is_empty() {
        writeln!(out, "{}", nothing(app))?;
    }
    out.flush()
}

fn cells(line: &Line) -> Vec<Text> {
    let mut cells: Vec<_> = line
        .row
        .cells
        .iter()
        .map(super::table::Cell::exact)
        .collect();
    if let Some(first) = cells.first_mut() {
        let indent = " ".repeat(usize::from(line.depth) * 2);
        *first = Text::new(format!("{indent}{first}"));
    }
    cells
}
