use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::draw::draw;
use crate::plain;
use crate::sample;

const SERVICES: &str = include_str!("screens/services.txt");
const OPENED: &str = include_str!("screens/opened.txt");
const VERDICTS: &str = include_str!("screens/verdicts.txt");
const TABLES: &str = include_str!("screens/tables.txt");
const PEERS: &str = include_str!("screens/peers.txt");
const PLAIN: &str = include_str!("screens/plain.txt");

/// A screen of that many lines that shows a page.
fn app(tab: Tab, height: u16, snapshot: Snapshot) -> App {
    let now = Instant::now();
    let mut app = App::new(&sample::options(tab), height, now).expect("a known column");
    app.update(Event::Answer(Box::new(snapshot)), now);
    app
}

fn press(app: &mut App, keys: &[KeyCode]) -> Action {
    let mut action = Action::None;
    for key in keys {
        let key = KeyEvent::new(*key, KeyModifiers::NONE);
        let now = app.now;
        action = app.update(Event::Key(key), now);
    }
    action
}

fn typed(text: &str) -> Vec<KeyCode> {
    text.chars().map(KeyCode::Char).collect()
}

/// The lines of a screen.
fn screen(app: &App, width: u16) -> Vec<String> {
    let backend = TestBackend::new(width, app.height);
    let mut terminal = Terminal::new(backend).expect("a terminal of memory");
    terminal
        .draw(|frame| draw(frame, app))
        .expect("it is drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let symbols = (0..width).map(|x| buffer[(x, y)].symbol());
        symbols.collect::<String>().trim_end().to_owned()
    };
    (0..app.height).map(line).collect()
}

#[track_caller]
fn shows(app: &App, expected: &str) {
    let shown = screen(app, 80).join("\n");
    assert!(shown == expected.trim_end_matches('\n'), "\n{shown}\n");
}

/// First words of the rows that are shown.
fn names(app: &App) -> Vec<String> {
    let (lines, _) = app.visible();
    let name = |line: &Line| line.row.cells[0].exact().to_string();
    lines.iter().map(name).collect()
}

#[test]
fn services_are_sorted_by_rate_and_open_to_their_servers() {
    let mut app = app(Tab::Services, 14, sample::services(3, 2));
    shows(&app, SERVICES);
    press(&mut app, &[KeyCode::Down, KeyCode::Enter]);
    shows(&app, OPENED);
    press(&mut app, &[KeyCode::Char('-')]);
    assert_eq!(app.lines().len(), 3);
}

#[test]
fn verdicts_have_rates_from_the_second_look_on() {
    let mut app = app(Tab::Verdicts, 12, sample::verdicts([100, 0, 7]));
    assert_eq!(names(&app), ["forward-direct", "pass-not-ours"]);
    let later = app.now + Duration::from_secs(2);
    app.update(
        Event::Answer(Box::new(sample::verdicts([102, 50, 7]))),
        later,
    );
    shows(&app, VERDICTS);
}

#[test]
fn checks_show_first_what_is_down_with_its_sentence() {
    let app = app(Tab::Checks, 12, sample::services(1, 8));
    let shown = screen(&app, 140).join("\n");
    assert!(shown.contains("10.0.0.6:80 web6"), "{shown}");
    assert_eq!(names(&app)[0], "10.0.0.6:80 web6");
    assert!(shown.contains(" no answer?[2J"), "{shown}");
}

#[test]
fn tables_and_peers_have_a_row_for_each_thing() {
    shows(
        &app(Tab::Tables, 14, sample::snapshot(Detail::Tables)),
        TABLES,
    );
    shows(&app(Tab::Peers, 12, sample::peers()), PEERS);
}

#[test]
fn the_chosen_row_stays_chosen_while_others_move() {
    let mut app = app(Tab::Servers, 14, sample::services(1, 20));
    assert_eq!(names(&app)[0], "10.0.0.19:80 web19");
    press(&mut app, &[KeyCode::Down, KeyCode::Down]);
    let chosen = app.chosen().expect("a row").row.key.clone();
    press(&mut app, &[KeyCode::Char('I')]);
    assert_eq!(app.chosen().expect("a row").row.key, chosen);
    assert_eq!(app.position(), (18, 20));
    // Before anything is chosen one sees what comes first.
    press(&mut app, &[KeyCode::Home]);
    press(&mut app, &[KeyCode::Char('I')]);
    assert_eq!(app.position(), (1, 20));
}

#[test]
fn rows_are_scrolled_by_lines_and_pages() {
    let mut app = app(Tab::Servers, 17, sample::services(1, 100));
    for (key, first, number) in [
        (KeyCode::PageDown, 98, 11),
        (KeyCode::PageDown, 88, 21),
        (KeyCode::Up, 88, 20),
        (KeyCode::End, 9, 100),
        (KeyCode::Down, 9, 100),
        (KeyCode::PageUp, 10, 90),
        (KeyCode::Home, 99, 1),
        (KeyCode::Up, 99, 1),
    ] {
        press(&mut app, &[key]);
        assert_eq!(
            names(&app)[0],
            format!("10.0.0.{first}:80 web{first}"),
            "{key:?}"
        );
        assert_eq!(app.position().0, number, "{key:?}");
        assert_eq!(names(&app).len(), 10);
    }
}

#[test]
fn a_filter_is_typed_and_taken_back() {
    let mut app = app(Tab::Servers, 24, sample::services(2, 20));
    press(&mut app, &[KeyCode::F(4)]);
    press(&mut app, &typed("WEB1|web2q"));
    press(&mut app, &[KeyCode::Backspace]);
    // q was a letter.
    assert_eq!(app.filter(), "WEB1|web2");
    assert_eq!(app.lines().len(), 22);
    press(&mut app, &[KeyCode::Enter]);
    assert_eq!(press(&mut app, &typed("q")), Action::Quit);
    press(
        &mut app,
        &[KeyCode::Char('/'), KeyCode::Char('x'), KeyCode::Esc],
    );
    assert_eq!(app.filter(), "WEB1|web2");
    press(&mut app, &typed("/"));
    press(&mut app, &[KeyCode::Backspace; 9]);
    press(&mut app, &typed("nobody"));
    assert!(
        screen(&app, 80)
            .join("\n")
            .contains("nothing passes the filter")
    );
}

#[test]
fn a_column_is_chosen_from_a_menu_or_beside_the_present_one() {
    let mut app = app(Tab::Servers, 20, sample::services(1, 9));
    press(&mut app, &[KeyCode::F(6), KeyCode::Home]);
    assert!(screen(&app, 80)[5].starts_with(" Server "));
    press(&mut app, &[KeyCode::Down, KeyCode::Enter]);
    assert_eq!(names(&app)[0], "10.0.0.6:80 web6", "the one that is down");
    press(&mut app, &typed("<"));
    assert_eq!(names(&app)[0], "10.0.0.0:80 web0");
    press(&mut app, &typed("<"));
    assert_eq!(app.sort().column, view::columns(Tab::Servers).len() - 1);
    press(&mut app, &typed(">>>"));
    assert_eq!(app.sort().column, 2);
}

#[test]
fn another_page_is_asked_for_and_empty_until_it_comes() {
    let mut app = app(Tab::Services, 24, sample::services(2, 2));
    assert_eq!(press(&mut app, &[KeyCode::BackTab]), Action::Ask);
    assert_eq!(app.tab, Tab::Peers);
    assert!(app.lines().is_empty() && !app.complete());
    app.update(Event::Answer(Box::new(sample::peers())), app.now);
    assert!(app.complete());
    assert_eq!(press(&mut app, &typed("2")), Action::Ask);
    assert_eq!(press(&mut app, &typed("2")), Action::None);
    // An answer for the page before is late.
    app.update(Event::Answer(Box::new(sample::peers())), app.now);
    assert!(!app.complete());
}

#[test]
fn a_director_that_does_not_answer_is_shown_as_away_with_what_it_said_last() {
    let mut app = app(Tab::Services, 24, sample::services(1, 1));
    let start = app.now;
    let at = |seconds| start + Duration::from_secs(seconds);
    app.update(Event::Second, at(2));
    assert!(app.away().is_none());
    app.update(Event::Second, at(4));
    assert!(screen(&app, 80)[0].contains("4 s old: lvsd has not answered"));
    let gone = Event::Away("lvsd is not running at /run/\x1b[1m".to_owned());
    app.update(gone, at(5));
    let shown = screen(&app, 100);
    assert!(
        shown[0].contains("5 s old: lvsd is not running at /run/?[1m"),
        "{shown:?}"
    );
    assert!(shown.join("\n").contains("TCP 192.0.0.0:80 shop0"));
    app.update(Event::Answer(Box::new(sample::services(1, 1))), at(9));
    assert!(screen(&app, 80)[0].ends_with("every 1s"));
}

#[test]
fn keys_quit_and_suspend() {
    let mut app = app(Tab::Services, 24, sample::services(1, 1));
    let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    for (key, action) in [
        (control('c'), Action::Quit),
        (control('z'), Action::Suspend),
        (KeyCode::F(10).into(), Action::Quit),
        (KeyCode::Char('x').into(), Action::None),
    ] {
        assert_eq!(app.update(Event::Key(key), app.now), action, "{key:?}");
    }
    press(&mut app, &[KeyCode::F(1)]);
    let help = screen(&app, 80).join("\n");
    for (keys, _) in crate::help::KEYS {
        assert!(help.contains(keys), "{help}");
    }
    for words in crate::help::WORDS {
        assert!(help.contains(words), "{help}");
    }
    // Any key leads back.
    assert_eq!(press(&mut app, &typed("q")), Action::None);
    assert_eq!(app.mode, Mode::Browse);
}

#[test]
fn colours_are_shown_only_where_they_may_be() {
    for colour in [true, false] {
        let mut app = app(Tab::Checks, 24, sample::services(1, 9));
        app.colour = colour;
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal of memory");
        terminal
            .draw(|frame| draw(frame, &app))
            .expect("it is drawn");
        let cells = terminal.backend().buffer().content();
        let coloured = cells
            .iter()
            .any(|cell| cell.fg != ratatui::style::Color::Reset);
        assert_eq!(coloured, colour);
    }
}

#[test]
fn an_unknown_column_is_refused_with_those_there_are() {
    let mut options = sample::options(Tab::Verdicts);
    options.sort = Some("packets".to_owned());
    assert!(App::new(&options, 24, Instant::now()).is_ok());
    options.sort = Some("speed".to_owned());
    let error = App::new(&options, 24, Instant::now()).err();
    assert_eq!(
        error.as_deref(),
        Some("verdicts have no column `speed'; there are Verdict, PPS, Packets, Meaning")
    );
}

#[test]
fn plain_text_is_exact_and_complete() {
    let mut app = app(Tab::Services, 0, sample::services(2, 2));
    app.open_all();
    app.update(Event::Answer(Box::new(sample::services(2, 2))), app.now);
    let mut out = Vec::new();
    plain::write(&mut out, &app).expect("memory takes it");
    let text = String::from_utf8(out).expect("text");
    assert!(text == PLAIN, "\n{text}");
}

#[test]
fn ten_thousand_servers_have_their_page() {
    let mut app = app(Tab::Services, 24, sample::services(1_000, 10));
    press(&mut app, &typed("t"));
    assert_eq!(app.position(), (1, 11_000));
    press(&mut app, &[KeyCode::End]);
    assert_eq!(app.position(), (11_000, 11_000));
    assert_eq!(screen(&app, 80).len(), 24);
    app.filter = "web7777".to_owned();
    press(&mut app, &typed("I"));
    assert_eq!(
        names(&app),
        ["TCP 192.0.3.9:80 shop777", "10.0.30.97:80 web7777"]
    );
}

fn any_event() -> impl Strategy<Value = Event> {
    let key = prop_oneof![
        any::<char>().prop_map(KeyCode::Char),
        proptest::sample::select("hqkjgGtI/<>+- 123456".chars().collect::<Vec<_>>())
            .prop_map(KeyCode::Char),
        (1..=12_u8).prop_map(KeyCode::F),
        proptest::sample::select(vec![
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Backspace,
            KeyCode::Tab,
        ]),
    ];
    prop_oneof![
        8 => key.prop_map(|code| Event::Key(code.into())),
        1 => (0..40_u16).prop_map(Event::Height),
        1 => (0..4_usize, 0..4_usize).prop_map(|(a, b)| Event::Answer(Box::new(sample::services(a, b)))),
        1 => any::<[u64; 3]>().prop_map(|counts| Event::Answer(Box::new(sample::verdicts(counts)))),
        1 => Just(()).prop_map(|()| Event::Answer(Box::new(sample::peers()))),
        1 => any::<String>().prop_map(Event::Away),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is typed, answered and resized, the chosen row is on the screen, and nothing is drawn outside of it.
    #[test]
    fn nothing_typed_or_answered_loses_the_chosen_row(
        events in proptest::collection::vec(any_event(), 0..40),
        width in 1..120_u16,
    ) {
        let mut app = app(Tab::Services, 24, sample::services(3, 3));
        for event in events {
            app.update(event, Instant::now());
            let (visible, cursor) = app.visible();
            prop_assert!(visible.is_empty() || cursor < visible.len());
            if app.height > 0 {
                screen(&app, width);
            }
        }
    }
}
