//! The state machines of TCP and SCTP, state by state.

use lvs_common::connection::tcp::{self, Event, State};
use lvs_common::connection::{Direction, sctp};

/// Each line: a state, and where SYN, FIN, ACK and RST lead from there when they come from a client
/// whose server is seen too, from that server, and from a client alone.
const TCP: &str = "
    NO | SR CL ES CL | SS TW ES CL | SR CL ES CL
    ES | ES CW ES CL | ES FW ES CL | ES FW ES CL
    SS | ES SS SS CL | SS SS SS SS | ES SS SS CL
    SR | SR TW ES SR | SR TW ES CL | SR TW ES SR
    FW | SR TW FW CL | SS FW FW CL | SR FW FW CL
    TW | SR TW TW CL | SS TW TW TW | SR TW TW CL
    CL | SR CL CL CL | SS CL CL CL | SR CL CL CL
    CW | SR CW CW CL | SS TW CW CL | SR CW CW CL
    LA | SR LA CL LA | SS LA LA CL | SR LA CL LA
    LI | SR LI LI LI | LI LI ES CL | SR LI LI LI
    SA | SR TW ES SR | SR TW ES CL | SR TW ES CL
";

fn tcp_state(short: &str) -> State {
    match short {
        "NO" => State::None,
        "ES" => State::Established,
        "SS" => State::SynSent,
        "SR" => State::SynReceived,
        "FW" => State::FinWait,
        "TW" => State::TimeWait,
        "CL" => State::Close,
        "CW" => State::CloseWait,
        "LA" => State::LastAck,
        "LI" => State::Listen,
        "SA" => State::SynAck,
        _ => panic!("no state {short}"),
    }
}

const DIRECTIONS: [Direction; 3] = [Direction::Input, Direction::Output, Direction::InputOnly];

#[test]
fn every_tcp_segment_leads_where_ipvs_says() {
    let mut seen = 0;
    for line in TCP.trim().lines() {
        let mut parts = line.split('|').map(str::trim);
        let from = tcp_state(parts.next().expect("a state"));
        for (direction, cells) in DIRECTIONS.into_iter().zip(parts) {
            let events = [Event::Syn, Event::Fin, Event::Ack, Event::Rst];
            for (event, to) in events.into_iter().zip(cells.split(' ')) {
                let next = State::from_raw(tcp::next(direction, event, from as u8));
                assert_eq!(next, tcp_state(to), "{direction:?} {event:?} in {from:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 3 * 4 * State::ALL.len());
}

#[test]
fn a_tcp_segment_is_what_its_strongest_flag_says() {
    for flags in 0..=u8::MAX {
        let has = |flag: u8| flags & flag != 0;
        let expected = if has(4) {
            Some(Event::Rst)
        } else if has(2) {
            Some(Event::Syn)
        } else if has(1) {
            Some(Event::Fin)
        } else {
            has(16).then_some(Event::Ack)
        };
        assert_eq!(Event::from_flags(flags), expected);
    }
}

/// Chunk types of RFC 9260.
fn chunk(name: &str) -> sctp::Event {
    sctp::Event::from_chunk(match name {
        "data" => 0,
        "init" => 1,
        "init-ack" => 2,
        "sack" => 3,
        "heartbeat" => 4,
        "abort" => 6,
        "shutdown" => 7,
        "shutdown-ack" => 8,
        "error" => 9,
        "cookie-echo" => 10,
        "cookie-ack" => 11,
        "shutdown-complete" => 14,
        _ => panic!("no chunk {name}"),
    })
}

/// Follows a story: `>` comes from a client with its server seen, `<` from the server, `-` from a
/// client alone; the state after each chunk as it is listed.
#[track_caller]
fn sctp_story(story: &[(&str, &str)]) {
    let mut state = sctp::State::None as u8;
    for (step, expected) in story {
        let (from, name) = step.split_at(1);
        let direction = match from {
            ">" => Direction::Input,
            "<" => Direction::Output,
            _ => Direction::InputOnly,
        };
        state = sctp::next(direction, chunk(name), state);
        assert_eq!(
            sctp::State::from_raw(state).name(),
            *expected,
            "after {step}"
        );
    }
}

#[test]
fn an_sctp_handshake_and_either_sides_shutdown_are_followed() {
    let handshake = [
        (">init", "INIT1"),
        ("<init-ack", "C-SENT"),
        (">cookie-echo", "C-REPLIED"),
        ("<cookie-ack", "ESTABLISHED"),
        (">data", "ESTABLISHED"),
        ("<sack", "ESTABLISHED"),
        (">heartbeat", "ESTABLISHED"),
    ];
    let by_client = [
        (">shutdown", "S-RECEIVED"),
        ("<shutdown-ack", "S-ACK-SENT"),
        (">shutdown-complete", "CLOSED"),
    ];
    let by_server = [
        ("<shutdown", "S-SENT"),
        (">shutdown-ack", "CLOSED"),
        ("<shutdown-complete", "CLOSED"),
    ];
    sctp_story(&[&handshake[..], &by_client].concat());
    sctp_story(&[&handshake[..], &by_server].concat());
}

#[test]
fn an_sctp_association_seen_from_one_side_is_followed() {
    sctp_story(&[
        ("-init", "INIT1"),
        ("-init", "INIT"),
        ("-cookie-echo", "ESTABLISHED"),
        ("-data", "ESTABLISHED"),
        ("-error", "ESTABLISHED"),
        ("-shutdown", "S-RECEIVED"),
        ("-shutdown-complete", "CLOSED"),
        ("-init", "INIT"),
    ]);
    // The server shuts down: the client's acknowledgement is all that is seen of it.
    sctp_story(&[
        ("-init", "INIT1"),
        ("-cookie-echo", "ESTABLISHED"),
        ("-shutdown-ack", "CLOSED"),
    ]);
}

#[test]
fn an_sctp_abort_ends_every_association() {
    let abort = chunk("abort");
    for state in sctp::State::ALL {
        for direction in DIRECTIONS {
            let next = sctp::State::from_raw(sctp::next(direction, abort, state as u8));
            let rejected = match direction {
                Direction::Output => state == sctp::State::Init1,
                _ => state == sctp::State::CookieWait,
            };
            let expected = if rejected {
                sctp::State::Rejected
            } else {
                sctp::State::Closed
            };
            assert_eq!(next, expected, "{direction:?} in {state:?}");
        }
    }
}

#[test]
fn data_changes_no_sctp_state_but_the_first() {
    for state in sctp::State::ALL {
        for direction in DIRECTIONS {
            let next = sctp::State::from_raw(sctp::next(direction, chunk("data"), state as u8));
            let one_sided = direction == Direction::InputOnly;
            let first = match state {
                sctp::State::None => true,
                sctp::State::CookieWait => one_sided,
                _ => false,
            };
            let expected = if first {
                sctp::State::Established
            } else {
                state
            };
            assert_eq!(next, expected, "{direction:?}");
        }
    }
}

#[test]
fn no_state_is_a_dead_end_outside_of_the_tables() {
    for raw in 0..=u8::MAX {
        for direction in DIRECTIONS {
            for event in [Event::Syn, Event::Fin, Event::Ack, Event::Rst] {
                assert!(usize::from(tcp::next(direction, event, raw)) < State::ALL.len());
            }
            for kind in 0..=u8::MAX {
                let event = sctp::Event::from_chunk(kind);
                let next = usize::from(sctp::next(direction, event, raw));
                assert!(next < sctp::State::ALL.len());
            }
        }
    }
}
