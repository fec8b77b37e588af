//! The picture of the screen. ASCII only, so that it looks the same in every locale.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::{ABOVE, App, BELOW, Mode};
use crate::help;
use crate::number::{age, compact, percent};
use crate::options::Tab;
use crate::snapshot::Snapshot;
use crate::style::{CHOSEN, TITLE, Tone, style};
use crate::table::{Column, Line};
use crate::text::Text;
use crate::view;
use crate::view::tables::{FILLING, family};

/// Draws the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    let canvas = &mut Canvas {
        buffer: frame.buffer_mut(),
        area,
    };
    header(canvas, app);
    tabs(canvas, app);
    match app.mode {
        Mode::Help => help_page(canvas),
        _ => rows(canvas, app),
    }
    if let Mode::Sort { chosen } = app.mode {
        sort_menu(canvas, app, chosen);
    }
    footer(canvas, app);
}

/// A buffer that is written line by line. What does not fit is cut off.
struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
}

impl Canvas<'_> {
    /// Writes a text; the column behind it.
    fn put(&mut self, x: u16, y: u16, text: &Text, style: Style) -> u16 {
        self.put_within(x, y, self.area.width.saturating_sub(x), text, style)
    }

    /// Writes as much of a text as fits into that many columns.
    fn put_within(&mut self, x: u16, y: u16, columns: u16, text: &Text, style: Style) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return x;
        }
        let columns = columns.min(self.area.width - x);
        let (end, _) = self
            .buffer
            .set_stringn(x, y, text.as_str(), usize::from(columns), style);
        if text.width() > usize::from(columns) && columns > 0 {
            // Cut off, and seen to be.
            let last = x + columns - 1;
            self.buffer.set_stringn(last, y, "~", 1, style);
            return x + columns;
        }
        end
    }

    fn put_right(&mut self, y: u16, text: &Text, style: Style) {
        let width = u16::try_from(text.width()).unwrap_or(u16::MAX);
        self.put(self.area.width.saturating_sub(width), y, text, style);
    }

    fn paint(&mut self, x: u16, y: u16, columns: u16, style: Style) {
        let line = Rect::new(x, y, columns, 1).intersection(self.area);
        self.buffer.set_style(line, style);
    }

    /// Empties a line, whatever was written there.
    fn clear(&mut self, x: u16, y: u16, columns: u16) {
        let blank = Text::new(" ".repeat(usize::from(columns)));
        self.put_within(x, y, columns, &blank, Style::reset());
    }
}

fn header(canvas: &mut Canvas<'_>, app: &App) {
    let Some(snapshot) = app.snapshot() else {
        canvas.put(0, 0, &Text::new("lvsd has not answered yet"), Style::new());
        return;
    };
    if let Some((reason, seconds)) = app.away() {
        let text = Text::new(format!("{seconds} s old: {reason}"));
        canvas.put(0, 0, &text, style(Tone::Bad, app.colour).patch(CHOSEN));
    } else {
        canvas.put(0, 0, &director_line(snapshot), TITLE);
        let every = format!("every {}", humantime::format_duration(app.interval));
        canvas.put_right(0, &Text::new(every), Style::new());
    }
    canvas.put(0, 1, &traffic_line(snapshot, compact), Style::new());
    let half = canvas.area.width / 2;
    for (table, x) in snapshot.status.tables.iter().zip([0, half]) {
        let full = percent(table.entries, table.capacity);
        let tone = if full >= FILLING {
            Tone::Bad
        } else {
            Tone::Good
        };
        let name = Text::new(format!("{}[", family(table.family)));
        let x = canvas.put(x, 2, &name, TITLE);
        let value = Text::new(format!(
            "{}/{} {full}%",
            compact(table.entries),
            compact(table.capacity)
        ));
        let width = half.saturating_sub(7);
        let bars = u64::from(width) * full.min(100) / 100;
        let bars = usize::try_from(bars).unwrap_or(0);
        canvas.put_within(
            x,
            2,
            width,
            &Text::new("|".repeat(bars)),
            style(tone, app.colour),
        );
        let taken = u16::try_from(value.width()).unwrap_or(width);
        canvas.put(x + width.saturating_sub(taken), 2, &value, Style::new());
        canvas.put(x + width, 2, &Text::new("]"), TITLE);
    }
}

/// The director in a line.
pub(crate) fn director_line(snapshot: &Snapshot) -> Text {
    let status = &snapshot.status;
    let addresses = &snapshot.role.addresses;
    let held = addresses.iter().filter(|address| address.held).count();
    let holds = match addresses.len() {
        0 => String::new(),
        all => format!(", holds {held} of {all} addresses"),
    };
    let traced = status.tracing.map(|it| {
        let since = age(it.age);
        format!(", traced by {} since {since}", it.tracers)
    });
    let traced = traced.unwrap_or_default();
    Text::new(format!(
        "lvsd {} (pid {}), {}{traced}{holds}",
        status.version, status.pid, snapshot.role.role
    ))
}

/// Its traffic in a line, with numbers of this form.
pub(crate) fn traffic_line(snapshot: &Snapshot, form: impl Fn(u64) -> String) -> Text {
    let rates = &snapshot.traffic.rates;
    Text::new(format!(
        "All: CPS {:<6}  InPPS {:<6}  OutPPS {:<6}  InBPS {:<6}  OutBPS {:<6}",
        form(rates.connections),
        form(rates.in_packets),
        form(rates.out_packets),
        form(rates.in_bytes),
        form(rates.out_bytes),
    ))
}

fn tabs(canvas: &mut Canvas<'_>, app: &App) {
    let mut x = 0;
    for (tab, number) in Tab::ALL.into_iter().zip(1..) {
        let shade = if tab == app.tab { CHOSEN } else { Style::new() };
        let text = Text::new(format!(" {number} {} ", tab.title()));
        x = canvas.put(x, 3, &text, shade);
    }
}

/// Widths of columns: what each has at least, and more where there is room for what it shows.
fn widths(columns: &[Column], lines: &[Line], room: u16) -> Vec<u16> {
    let gaps = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(0);
    let least: u16 = columns.iter().map(|column| column.width).sum();
    let mut spare = room.saturating_sub(least + gaps);
    let mut widths = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let mut width = column.width;
        if column.grows && spare > 0 {
            let needs = lines.iter().map(|line| {
                let cell = line.row.cells.get(index);
                cell.map_or(0, |cell| cell.short().width()) + indent(index, line)
            });
            let needs = needs.max().unwrap_or(0).max(column.title.len());
            let needs = u16::try_from(needs).unwrap_or(u16::MAX);
            let more = needs.saturating_sub(width).min(spare);
            width += more;
            spare -= more;
        }
        widths.push(width);
    }
    widths
}

/// Columns before the text of a row's first cell: whether it is open, and rows that are below others.
fn indent(index: usize, line: &Line) -> usize {
    if index > 0 {
        return 0;
    }
    usize::from(line.depth * 2) + if line.open.is_some() { 2 } else { 0 }
}

fn rows(canvas: &mut Canvas<'_>, app: &App) {
    let columns = view::columns(app.tab);
    let (lines, cursor) = app.visible();
    let widths = widths(columns, lines, canvas.area.width);
    let mut x = 0;
    for (index, (column, width)) in columns.iter().zip(&widths).enumerate() {
        let shade = if index == app.sort().column {
            TITLE.patch(CHOSEN)
        } else {
            TITLE
        };
        let title = Text::new(aligned(column.title, column.title.len(), *width, column));
        canvas.put_within(x, ABOVE - 1, *width, &title, shade);
        x += width + 1;
    }
    let bottom = canvas.area.height.saturating_sub(BELOW);
    for ((index, line), y) in lines.iter().enumerate().zip(ABOVE..bottom) {
        let mut x = 0;
        for (number, (cell, (column, width))) in line
            .row
            .cells
            .iter()
            .zip(columns.iter().zip(&widths))
            .enumerate()
        {
            let text = cell.short();
            let text = match (number, line.open) {
                (0, Some(true)) => Text::new(format!("- {text}")),
                (0, Some(false)) => Text::new(format!("+ {text}")),
                (0, None) if line.depth > 0 => Text::new(format!("    {text}")),
                _ => text,
            };
            let text = Text::new(aligned(text.as_str(), text.width(), *width, column));
            canvas.put_within(x, y, *width, &text, style(cell.tone(), app.colour));
            x += width + 1;
        }
        if index == cursor {
            canvas.paint(0, y, canvas.area.width, CHOSEN);
        }
    }
    if lines.is_empty() {
        canvas.put(0, ABOVE, &Text::new(nothing(app)), Style::new());
    }
}

/// Why there is no row.
pub(crate) fn nothing(app: &App) -> &'static str {
    match app.tab {
        _ if !app.complete() => "",
        _ if !app.filter().is_empty() => "nothing passes the filter",
        Tab::Services | Tab::Servers | Tab::Checks => "no virtual service is configured",
        Tab::Verdicts => "no packet came yet",
        Tab::Tables | Tab::Peers => "",
    }
}

fn aligned(text: &str, taken: usize, width: u16, column: &Column) -> String {
    let before = if column.numbers {
        usize::from(width).saturating_sub(taken)
    } else {
        0
    };
    " ".repeat(before) + text
}

fn help_page(canvas: &mut Canvas<'_>) {
    let bottom = canvas.area.height.saturating_sub(BELOW);
    let keys = help::KEYS
        .iter()
        .map(|(keys, what)| format!("{keys:<27}{what}"));
    let words = help::WORDS.iter().map(|line| (*line).to_owned());
    for (line, y) in keys.chain(words).zip(ABOVE - 1..bottom) {
        canvas.put(0, y, &Text::new(line), Style::new());
    }
}

fn sort_menu(canvas: &mut Canvas<'_>, app: &App, chosen: usize) {
    let columns = view::columns(app.tab);
    let bottom = canvas.area.height.saturating_sub(BELOW);
    canvas.clear(0, ABOVE - 1, 16);
    canvas.put_within(0, ABOVE - 1, 16, &Text::new("Sort by"), TITLE);
    for ((index, column), y) in columns.iter().enumerate().zip(ABOVE..bottom) {
        canvas.clear(0, y, 16);
        let shade = if index == chosen {
            CHOSEN
        } else {
            Style::reset()
        };
        let text = Text::new(format!(" {:<13} ", column.title));
        canvas.put_within(0, y, 15, &text, shade);
    }
}

fn footer(canvas: &mut Canvas<'_>, app: &App) {
    let Some(last) = canvas.area.height.checked_sub(1) else {
        return;
    };
    let above = last.saturating_sub(1);
    if let Some(line) = app.chosen() {
        canvas.put(0, above, &line.row.detail, Style::new());
    } else {
        canvas.put(0, above, app.summary(), Style::new());
    }
    let mut keys = |words: &[(&str, &str)]| {
        let mut x = 0;
        for (key, what) in words {
            x = canvas.put(x, last, &Text::new(*key), TITLE);
            x = canvas.put(x, last, &Text::new(*what), CHOSEN);
        }
        x
    };
    match &app.mode {
        Mode::Browse => {
            let filter = if app.filter().is_empty() {
                "Filter "
            } else {
                "FILTER "
            };
            let open: &[_] = match app.tab {
                Tab::Services => &[("F5", "Open ")],
                _ => &[],
            };
            let words = [
                &[("F1", "Help "), ("F4", filter)],
                open,
                &[("F6", "Sort "), ("F10", "Quit ")],
            ];
            let end = keys(&words.concat());
            let column = view::columns(app.tab).get(app.sort().column);
            let title = column.map_or("", |column| column.title);
            let (number, all) = app.position();
            let summary = app.summary();
            let text = Text::new(format!(" {number}/{all} by {title}; {summary}"));
            canvas.put(end, last, &text, Style::new());
        }
        Mode::Filter { .. } => {
            let end = keys(&[("Enter", "Done "), ("Esc", "Cancel ")]);
            let text = Text::new(format!(" Filter: {}_", app.filter()));
            canvas.put(end, last, &text, Style::new());
        }
        Mode::Sort { .. } => drop(keys(&[("Enter", "Sort "), ("Esc", "Cancel ")])),
        Mode::Help => drop(keys(&[("any key", "Back ")])),
    }
}
