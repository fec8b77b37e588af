use super::*;
use crate::check::{Kind, Path};
use crate::model::Rhythm;
use crate::watch::Step;
use lvs_api::health::State;

const SECOND: Duration = Duration::from_secs(1);
/// What an answer takes.
const AWAY: Duration = Duration::from_millis(3);

/// A table of one check, number 7, and the time.
struct Fixture {
    table: Table,
    now: Instant,
    sent: u32,
}

fn server() -> SocketAddr {
    "192.0.2.1:80".parse().unwrap()
}

impl Fixture {
    fn new(assumed: bool) -> Self {
        let now = Instant::now();
        let rhythm = Rhythm {
            interval: SECOND,
            fast: SECOND / 10,
            down: SECOND,
            jitter: 0,
            rise: 1,
            fall: 2,
        };
        let check = Check {
            kind: Kind::Connect,
            target: server(),
            path: Path::Own,
            source: None,
            connect_timeout: 4 * SECOND,
            timeout: 5 * SECOND,
        };
        let mut table = Table::new(now);
        table.begin(7, Arc::new(check), Watch::new(rhythm, assumed, now));
        Self {
            table,
            now,
            sent: 0,
        }
    }

    fn due(&mut self) -> Option<Due> {
        let sent = &mut self.sent;
        self.table.due(self.now, |to, _| {
            *sent += 1;
            Ok(Syn {
                source: [192, 0, 2, 9].into(),
                told: false,
                port: 4711,
                to,
                number: *sent,
            })
        })
    }

    /// Lets time go by until something is due.
    fn next(&mut self) -> Due {
        loop {
            self.now = self.now.max(self.table.next().unwrap());
            if let Some(due) = self.due() {
                return due;
            }
        }
    }

    fn next_syn(&mut self) -> Syn {
        match self.next() {
            Due::Send(syn) => syn,
            Due::Tell(report) => panic!("{}", report.outcome.text),
        }
    }

    /// The server answers, after so long.
    fn answer(&mut self, syn: &Syn, good: bool, after: Duration) -> Option<Report> {
        self.now += after;
        let refused = || io::Error::from_raw_os_error(libc::ECONNREFUSED);
        self.table.heard(
            Heard {
                server: syn.to.ip(),
                ports: Ports {
                    from: syn.port,
                    to: syn.to.port(),
                },
                number: syn.number,
                answer: good.then_some(()).ok_or_else(refused),
            },
            self.now,
        )
    }

    fn round(&mut self, good: bool, after: Duration) -> Option<Report> {
        let syn = self.next_syn();
        self.answer(&syn, good, after)
    }
}

#[test]
fn what_says_nothing_new_is_not_told() {
    let mut fixture = Fixture::new(false);
    let first = fixture.round(true, AWAY).unwrap();
    assert_eq!((first.watch, first.step), (7, Step::Turned));
    assert_eq!(first.view.state, State::Up);
    assert_eq!(first.outcome.text, "connection to 192.0.2.1:80 after 3 ms");
    assert!(fixture.round(true, AWAY).is_none());
    let slower = fixture.round(true, 2 * AWAY).unwrap();
    assert_eq!(slower.outcome.text, "connection to 192.0.2.1:80 after 6 ms");
    assert!(fixture.round(true, 2 * AWAY).is_none());
    fixture.table.tell_every(7, true);
    assert_eq!(fixture.round(true, 2 * AWAY).unwrap().step, Step::Steady);
    fixture.table.tell_every(7, false);
    assert!(fixture.round(true, 2 * AWAY).is_none());
    // All that is not good is told, and what comes after it.
    let steps = [false, true, false, false, false, true]
        .map(|good| fixture.round(good, 2 * AWAY).unwrap().step);
    assert_eq!(
        steps,
        [
            Step::SoftFailure(1, 2),
            Step::Recovered,
            Step::SoftFailure(1, 2),
            Step::Turned,
            Step::Steady,
            Step::Turned
        ]
    );
}

#[test]
fn the_first_good_outcome_of_a_server_that_was_up_before_is_told() {
    let mut fixture = Fixture::new(true);
    let first = fixture.round(true, AWAY).unwrap();
    assert_eq!(first.step, Step::Steady);
    assert!(first.view.confirmed);
    assert!(fixture.round(true, AWAY).is_none());
}

#[test]
fn connections_begin_an_interval_after_the_one_before_has_ended() {
    let mut fixture = Fixture::new(true);
    fixture.round(true, AWAY);
    // The first interval is cut short at random: watches that began together part.
    fixture.round(true, AWAY);
    let ended = fixture.now;
    fixture.next_syn();
    let late = (fixture.now - ended).checked_sub(SECOND).unwrap();
    assert!(late <= Duration::from_millis(5), "{late:?}");
}

#[test]
fn a_syn_without_an_answer_is_repeated_until_the_time_is_over() {
    let mut fixture = Fixture::new(true);
    let begin = fixture.now;
    let mut moments = Vec::new();
    let report = loop {
        match fixture.next() {
            Due::Send(Syn { number, .. }) => {
                moments.push((number, (fixture.now - begin).as_secs()));
            }
            Due::Tell(report) => break report,
        }
    };
    assert_eq!(moments, [(1, 0), (1, 1), (1, 3)]);
    assert_eq!(fixture.now - begin, 4 * SECOND, "the shorter of both times");
    assert_eq!(
        report.outcome.text,
        "no connection to 192.0.2.1:80 in 4000 ms"
    );
    assert_eq!(report.step, Step::SoftFailure(1, 2));
    assert!(fixture.table.waiting.is_empty());
}

#[test]
fn an_answer_to_a_repeated_syn_counts() {
    let mut fixture = Fixture::new(true);
    fixture.next_syn();
    let again = fixture.next_syn();
    let report = fixture.answer(&again, true, AWAY).unwrap();
    assert_eq!(
        report.outcome.text,
        "connection to 192.0.2.1:80 after 1003 ms"
    );
}

#[test]
fn only_the_answer_of_the_server_that_was_asked_counts_and_once() {
    let mut fixture = Fixture::new(false);
    let syn = fixture.next_syn();
    let strangers = [
        Syn {
            to: "192.0.2.2:80".parse().unwrap(),
            ..syn
        },
        Syn {
            to: "192.0.2.1:81".parse().unwrap(),
            ..syn
        },
        Syn { port: 4712, ..syn },
        Syn { number: 99, ..syn },
    ];
    for stranger in strangers {
        assert!(fixture.answer(&stranger, false, AWAY).is_none());
    }
    assert!(fixture.answer(&syn, true, AWAY).is_some());
    assert!(fixture.answer(&syn, false, AWAY).is_none());
    assert!(fixture.table.waiting.is_empty());
}

#[test]
fn what_cannot_be_sent_for_a_reason_of_the_directors_own_says_nothing_about_the_server() {
    let mut fixture = Fixture::new(true);
    let syn = fixture.next_syn();
    let lacking = io::Error::from_raw_os_error(libc::ENOBUFS);
    let report = fixture.table.unsent(&syn, lacking, fixture.now).unwrap();
    assert_eq!(report.step, Step::Skipped);
    assert_eq!(report.view.state, State::Up);
    let syn = fixture.next_syn();
    let unreachable = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
    let report = fixture
        .table
        .unsent(&syn, unreachable, fixture.now)
        .unwrap();
    assert_eq!(report.step, Step::SoftFailure(1, 2));
}

#[test]
fn a_sign_of_death_has_it_made_at_once_or_after_the_one_under_way() {
    let mut fixture = Fixture::new(true);
    fixture.round(true, AWAY);
    fixture.round(true, AWAY);
    fixture.now += SECOND / 2;
    let begin = fixture.now;
    fixture.table.nudge(7, fixture.now);
    let syn = fixture.next_syn();
    assert!(fixture.now - begin <= Duration::from_millis(5));
    fixture.table.nudge(7, fixture.now);
    assert!(fixture.due().is_none(), "one is under way");
    fixture.answer(&syn, true, AWAY);
    let ended = fixture.now;
    fixture.next_syn();
    assert!(fixture.now - ended <= SECOND / 10 + Duration::from_millis(5));
}

#[test]
fn a_pause_ends_what_is_under_way_and_nothing_is_known_afterwards() {
    let mut fixture = Fixture::new(true);
    let syn = fixture.next_syn();
    fixture.table.pause(7, true, fixture.now);
    assert!(fixture.answer(&syn, true, AWAY).is_none());
    fixture.table.nudge(7, fixture.now);
    fixture.now += 100 * SECOND;
    assert!(fixture.due().is_none());
    assert_eq!(fixture.table.next(), None);
    fixture.table.pause(7, false, fixture.now);
    let begin = fixture.now;
    let report = fixture.round(true, AWAY).unwrap();
    assert!(fixture.now - begin <= AWAY + Duration::from_millis(5));
    assert_eq!((report.step, report.view.confirmed), (Step::Turned, true));
}

#[test]
fn what_has_ended_leaves_nothing_behind() {
    let mut fixture = Fixture::new(true);
    let syn = fixture.next_syn();
    fixture.table.end(7);
    assert!(fixture.answer(&syn, true, AWAY).is_none());
    fixture.now += 100 * SECOND;
    assert!(fixture.due().is_none());
    assert_eq!(fixture.table.next(), None);
    assert!(fixture.table.waiting.is_empty() && fixture.table.rounds.is_empty());
}
