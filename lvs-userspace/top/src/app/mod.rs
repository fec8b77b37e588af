//! The state of the screen: what keys, answers and time change of it.

mod keys;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crossterm::event::KeyEvent;

use crate::options::{Options, Tab};
use crate::rate::VerdictRates;
use crate::snapshot::{Detail, Snapshot};
use crate::table::{Column, Filter, Key, Line, Opened, Sort, lines};
use crate::text::Text;
use crate::view;

/// Lines of the screen above the rows: the director, its traffic, its tables, the tabs, the titles.
pub(crate) const ABOVE: u16 = 5;
/// Lines below the rows: details of the chosen row, the keys.
pub(crate) const BELOW: u16 = 2;

/// Time after which an answer is late.
const SLOW: Duration = Duration::from_secs(2);

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    Key(KeyEvent),
    /// Lines of the terminal.
    Height(u16),
    /// lvsd answered.
    Answer(Box<Snapshot>),
    /// lvsd did not, with the reason.
    Away(String),
    /// A second passed.
    Second,
}

/// The action that an event asks for, beside a new picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    None,
    /// Another page: it is asked for at once.
    Ask,
    /// The shell goes on (Ctrl-Z).
    Suspend,
    /// All is drawn anew (Ctrl-L).
    Repaint,
    Quit,
}

/// The meaning of keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Browse,
    /// A filter is typed; the one before comes back with Esc.
    Filter {
        before: String,
    },
    /// A column is chosen.
    Sort {
        chosen: usize,
    },
    Help,
}

/// The screen.
pub(crate) struct App {
    pub(crate) tab: Tab,
    pub(crate) mode: Mode,
    pub(crate) colour: bool,
    pub(crate) interval: Duration,
    filter: String,
    sorts: [Sort; Tab::ALL.len()],
    opened: Opened,
    snapshot: Option<Box<Snapshot>>,
    /// The page of the snapshot is the one that is chosen.
    complete: bool,
    received: Option<Instant>,
    away: Option<Text>,
    rates: VerdictRates,
    now: Instant,
    summary: Text,
    lines: Vec<Line>,
    /// Identity of the chosen row; none: the first, whichever it is.
    chosen: Option<Key>,
    /// Index of the chosen row.
    cursor: usize,
    /// Index of the first row on the screen.
    top: usize,
    height: u16,
}

impl App {
    /// A screen that shows nothing yet; refused with the titles of columns if there is none by which it should be
    /// sorted.
    pub(crate) fn new(options: &Options, height: u16, now: Instant) -> Result<Self, String> {
        let mut sorts = Tab::ALL.map(view::sort);
        if let Some(title) = &options.sort {
            let columns = view::columns(options.tab);
            let named = |column: &Column| column.title.eq_ignore_ascii_case(title);
            sorts[options.tab.index()].column =
                columns.iter().position(named).ok_or_else(|| {
                    let titles: Vec<_> = columns.iter().map(|column| column.title).collect();
                    let tab = options.tab.name();
                    format!(
                        "{tab} have no column `{title}'; there are {}",
                        titles.join(", ")
                    )
                })?;
        }
        Ok(Self {
            tab: options.tab,
            mode: Mode::Browse,
            colour: options.colour,
            interval: options.interval,
            filter: options.filter.clone(),
            sorts,
            opened: Opened::default(),
            snapshot: None,
            complete: false,
            received: None,
            away: None,
            rates: VerdictRates::default(),
            now,
            summary: Text::default(),
            lines: Vec::new(),
            chosen: None,
            cursor: 0,
            top: 0,
            height,
        })
    }

    /// Applies an event that happened now.
    pub(crate) fn update(&mut self, event: Event, now: Instant) -> Action {
        self.now = now;
        match event {
            Event::Key(key) => return self.key(key),
            Event::Height(lines) => self.height = lines,
            Event::Answer(snapshot) => self.answer(snapshot, now),
            Event::Away(reason) => self.away = Some(Text::new(reason)),
            Event::Second => {}
        }
        self.scroll();
        Action::None
    }

    /// The last answer.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_deref()
    }

    /// The reason why what is shown is old, and its age in seconds.
    pub(crate) fn away(&self) -> Option<(Text, u64)> {
        let since = self.received?;
        let age = self.now.saturating_duration_since(since);
        let reason = match &self.away {
            Some(reason) => reason.clone(),
            None if age > self.interval + SLOW => Text::new("lvsd has not answered since"),
            None => return None,
        };
        Some((reason, age.as_secs()))
    }

    /// A sentence about the page.
    pub(crate) const fn summary(&self) -> &Text {
        &self.summary
    }

    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    pub(crate) const fn sort(&self) -> Sort {
        self.sorts[self.tab.index()]
    }

    /// All rows of the page.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The rows that are on the screen, the chosen one among them by its index in these.
    pub(crate) fn visible(&self) -> (&[Line], usize) {
        let end = self.lines.len().min(self.top + self.room());
        let visible = self.lines.get(self.top..end).unwrap_or_default();
        (visible, self.cursor.saturating_sub(self.top))
    }

    /// The chosen row.
    pub(crate) fn chosen(&self) -> Option<&Line> {
        self.lines.get(self.cursor)
    }

    /// Number of the chosen row, from 1, and of all.
    pub(crate) fn position(&self) -> (usize, usize) {
        (self.lines.len().min(self.cursor + 1), self.lines.len())
    }

    /// True once the page that is chosen was answered.
    pub(crate) const fn complete(&self) -> bool {
        self.complete
    }

    /// Opens every row that has some below it.
    pub(crate) fn open_all(&mut self) {
        self.opened.toggle_all();
    }

    fn room(&self) -> usize {
        usize::from(self.height.saturating_sub(ABOVE + BELOW))
    }

    fn answer(&mut self, snapshot: Box<Snapshot>, now: Instant) {
        if let Detail::Verdicts(counts) = &snapshot.detail {
            self.rates.sample(counts, now, self.interval * 5);
        }
        self.received = Some(now);
        self.away = None;
        self.snapshot = Some(snapshot);
        self.arrange();
    }

    /// Makes the rows anew: of another snapshot, for another page, in another order.
    fn arrange(&mut self) {
        let snapshot = self.snapshot.as_ref();
        self.complete = snapshot.is_some_and(|snapshot| snapshot.detail.is_for(self.tab));
        let mut page = match snapshot {
            Some(snapshot) if self.complete => view::page(self.tab, snapshot, &self.rates),
            _ => view::Page::default(),
        };
        let filter = Filter::new(&self.filter);
        filter.apply(&mut page.rows);
        self.sort().apply(&mut page.rows, view::columns(self.tab));
        // What a filter found below a row is not hidden by it.
        let open = |key: &Key| !filter.is_empty() || self.opened.contains(key);
        self.lines = lines(page.rows, open);
        self.summary = Text::new(page.summary);
        let place = |chosen: &Key| self.lines.iter().position(|line| line.row.key == *chosen);
        match &self.chosen {
            // One that is gone leaves its place to the next.
            Some(chosen) => self.cursor = place(chosen).unwrap_or(self.cursor),
            None => self.cursor = 0,
        }
        self.scroll();
    }

    /// Keeps the chosen row on the screen.
    fn scroll(&mut self) {
        let last = self.lines.len().saturating_sub(1);
        self.cursor = self.cursor.min(last);
        let room = self.room().max(1);
        let lowest = self.cursor.saturating_sub(room - 1);
        let highest = (last + 1).saturating_sub(room);
        self.top = self.top.clamp(lowest, self.cursor).min(highest.max(lowest));
    }

    fn choose(&mut self, index: usize) {
        self.cursor = index.min(self.lines.len().saturating_sub(1));
        // At the top one sees what comes first.
        let chosen = self.lines.get(self.cursor).filter(|_| self.cursor > 0);
        self.chosen = chosen.map(|line| line.row.key.clone());
        self.scroll();
    }
}
