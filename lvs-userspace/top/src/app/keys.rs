//! Keys, as htop has them.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Action, App, Mode};
use crate::options::Tab;
use crate::view;

/// Longest filter that is typed, in characters.
const LONGEST_FILTER: usize = 200;

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('z') => Action::Suspend,
                KeyCode::Char('l') => Action::Repaint,
                // Some terminals send it for the backspace key.
                KeyCode::Char('h') if matches!(self.mode, Mode::Filter { .. }) => {
                    self.type_filter(KeyCode::Backspace);
                    Action::None
                }
                _ => Action::None,
            };
        }
        match self.mode {
            Mode::Browse => return self.browse(key.code),
            Mode::Filter { .. } => self.type_filter(key.code),
            Mode::Sort { chosen } => self.choose_column(chosen, key.code),
            Mode::Help => self.mode = Mode::Browse,
        }
        Action::None
    }

    fn browse(&mut self, key: KeyCode) -> Action {
        let page = self.room().max(1);
        match key {
            KeyCode::Char('q') | KeyCode::F(10) => return Action::Quit,
            KeyCode::Char('h' | '?') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Char('/' | '\\') | KeyCode::F(4) => {
                let before = self.filter.clone();
                self.mode = Mode::Filter { before };
            }
            KeyCode::F(6) => {
                let chosen = self.sort().column;
                self.mode = Mode::Sort { chosen };
            }
            KeyCode::Char('<' | ',') => self.sort_by_neighbour(false),
            KeyCode::Char('>' | '.') => self.sort_by_neighbour(true),
            KeyCode::Char('I') => {
                let sort = &mut self.sorts[self.tab.index()];
                sort.inverted = !sort.inverted;
                self.arrange();
            }
            KeyCode::Char('t') | KeyCode::F(5) => {
                self.opened.toggle_all();
                self.arrange();
            }
            KeyCode::Enter | KeyCode::Char(' ' | '+' | '-') => self.open_chosen(key),
            KeyCode::Up | KeyCode::Char('k') => self.choose(self.cursor.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(self.cursor + 1),
            KeyCode::PageUp => self.choose(self.cursor.saturating_sub(page)),
            KeyCode::PageDown => self.choose(self.cursor + page),
            KeyCode::Home | KeyCode::Char('g') => self.choose(0),
            KeyCode::End | KeyCode::Char('G') => self.choose(usize::MAX),
            KeyCode::Tab | KeyCode::Right => return self.turn_to(self.tab.index() + 1),
            KeyCode::BackTab | KeyCode::Left => {
                return self.turn_to(self.tab.index() + Tab::ALL.len() - 1);
            }
            KeyCode::Char(digit @ '1'..='6') => {
                let number = digit.to_digit(10).unwrap_or(1);
                return self.turn_to(usize::try_from(number).unwrap_or(1) - 1);
            }
            _ => {}
        }
        Action::None
    }

    fn turn_to(&mut self, index: usize) -> Action {
        let tab = Tab::ALL[index % Tab::ALL.len()];
        if tab == self.tab {
            return Action::None;
        }
        self.tab = tab;
        self.chosen = None;
        self.cursor = 0;
        self.top = 0;
        self.arrange();
        Action::Ask
    }

    fn sort_by_neighbour(&mut self, right: bool) {
        let columns = view::columns(self.tab).len();
        let step = if right { 1 } else { columns - 1 };
        self.sort_by((self.sort().column + step) % columns);
    }

    fn sort_by(&mut self, column: usize) {
        let sort = &mut self.sorts[self.tab.index()];
        sort.column = column;
        sort.inverted = false;
        self.arrange();
    }

    /// Opens or closes the chosen row.
    fn open_chosen(&mut self, key: KeyCode) {
        let Some(line) = self.lines.get(self.cursor) else {
            return;
        };
        let (Some(open), chosen) = (line.open, line.row.key.clone()) else {
            return;
        };
        let wanted = match key {
            KeyCode::Char('+') => true,
            KeyCode::Char('-') => false,
            _ => !open,
        };
        if wanted != open {
            self.opened.toggle(&chosen);
            self.arrange();
        }
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter | KeyCode::F(4) => self.mode = Mode::Browse,
            KeyCode::Esc => {
                if let Mode::Filter { before } = std::mem::take(&mut self.mode) {
                    self.filter = before;
                }
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(letter);
            }
            _ => return,
        }
        self.choose(0);
        self.arrange();
    }

    fn choose_column(&mut self, chosen: usize, key: KeyCode) {
        let last = view::columns(self.tab).len() - 1;
        let chosen = match key {
            KeyCode::Up | KeyCode::Char('k') => chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => (chosen + 1).min(last),
            KeyCode::Home => 0,
            KeyCode::End => last,
            KeyCode::Enter => {
                self.mode = Mode::Browse;
                return self.sort_by(chosen);
            }
            KeyCode::Esc | KeyCode::Char('q') | KeyCode::F(6 | 10) => {
                self.mode = Mode::Browse;
                return;
            }
            _ => chosen,
        };
        self.mode = Mode::Sort { chosen };
    }
}
