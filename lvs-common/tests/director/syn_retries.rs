//! SYNs that clients repeat: how they count, and where they go.

use lvs_common::abi::{Method, Pick, Plan, Server};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, Draft, RST, SYN, at};
use super::memory::{Director, PICKS};

const CLIENT: &str = "198.51.100.7:40000";
const VIRTUAL: &str = "192.0.2.1:80";

fn director(pick: Pick, method: Method, servers: u8, flags: u8) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(VIRTUAL), pick);
    for number in 1..=servers {
        director.add(service, at(&format!("10.0.0.{number}:80")), method, 1);
    }
    director.edit(service, |plan, _| plan.flags |= flags);
    director
}

#[track_caller]
fn reason(director: &Director, draft: &Draft) -> Reason {
    let (verdict, _) = director.handle(&draft.frame());
    verdict.reason().expect("a known reason")
}

fn from_client(flags: u8) -> Draft {
    Draft::tcp(CLIENT, VIRTUAL, flags)
}

/// The server of the only connection.
#[track_caller]
fn server(director: &Director) -> u32 {
    match director.states()[..] {
        [(server, "SYN_RECV")] => server,
        ref states => panic!("not one half-open connection: {states:?}"),
    }
}

fn loads(director: &Director, servers: u32) -> Vec<(u32, u32)> {
    (0..servers)
        .map(|server| director.connections(server))
        .collect()
}

#[test]
fn a_repeated_syn_is_counted_for_its_server_and_stays_with_it() {
    let director = director(Pick::Rotate, Method::Direct, 2, 0);
    reason(&director, &from_client(SYN));
    let first = server(&director);
    assert_eq!(director.syn_retries(first), 0);
    for count in 1..=3 {
        assert_eq!(reason(&director, &from_client(SYN)), Reason::Direct);
        assert_eq!(server(&director), first);
        assert_eq!(director.syn_retries(first), count);
    }
    assert_eq!(director.stats(first).in_packets, 4);
    assert_eq!(director.stats(first).connections, 1);
    assert_eq!(director.syn_retries(1 - first), 0);
}

#[test]
fn only_a_syn_that_waits_for_an_answer_counts() {
    let director = director(Pick::Rotate, Method::Direct, 1, Plan::REDISPATCH);
    for flags in [SYN, ACK, SYN, ACK] {
        reason(&director, &from_client(flags));
    }
    assert_eq!(director.states(), [(0, "ESTABLISHED")]);
    assert_eq!(director.syn_retries(0), 0);
}

#[test]
fn a_syn_repeated_after_the_servers_answer_says_nothing_about_the_server() {
    let director = director(Pick::Rotate, Method::Nat, 2, Plan::REDISPATCH);
    reason(&director, &from_client(SYN));
    let first = server(&director);
    let answer = Draft::tcp(&format!("10.0.0.{}:80", first + 1), CLIENT, SYN | ACK);
    assert_eq!(reason(&director, &answer), Reason::NatReply);
    assert_eq!(reason(&director, &from_client(SYN)), Reason::Nat);
    assert_eq!(server(&director), first);
    assert_eq!(director.syn_retries(first), 0);
    // The next connection begins without an answer.
    let other = Draft::tcp("198.51.100.7:40001", VIRTUAL, SYN);
    reason(&director, &other);
    assert_eq!(reason(&director, &other), Reason::Rescheduled);
    assert_eq!(director.syn_retries(1 - first), 1);
}

#[test]
fn a_repeated_syn_is_redispatched_to_another_server_by_every_scheduler_and_method() {
    for pick in PICKS {
        for method in [Method::Direct, Method::Nat, Method::Tunnel] {
            let director = director(pick, method, 3, Plan::REDISPATCH);
            reason(&director, &from_client(SYN));
            let mut before = server(&director);
            for _ in 0..20 {
                assert_eq!(reason(&director, &from_client(SYN)), Reason::Rescheduled);
                let now = server(&director);
                assert_ne!(now, before, "{pick:?} {method:?}");
                let mut expected = vec![(0, 0); 3];
                expected[now as usize] = (1, 0);
                assert_eq!(loads(&director, 3), expected, "{pick:?} {method:?}");
                before = now;
            }
            let counted: u32 = (0..3).map(|server| director.syn_retries(server)).sum();
            assert_eq!(counted, 20);
            reason(&director, &from_client(ACK));
            assert_eq!(director.connections(before), (1, 0));
        }
    }
}

#[test]
fn what_the_first_server_says_late_is_no_longer_of_the_connection() {
    let director = director(Pick::Rotate, Method::Nat, 2, Plan::REDISPATCH);
    reason(&director, &from_client(SYN));
    let first = server(&director);
    reason(&director, &from_client(SYN));
    let answer = |server: u32| Draft::tcp(&format!("10.0.0.{}:80", server + 1), CLIENT, SYN | ACK);
    assert_eq!(reason(&director, &answer(first)), Reason::NoConnection);
    assert_eq!(reason(&director, &answer(1 - first)), Reason::NatReply);
}

#[test]
fn where_there_is_no_other_server_the_same_gets_the_repeated_syn() {
    for pick in PICKS {
        let mut director = director(pick, Method::Direct, 3, Plan::REDISPATCH);
        director.edit(0, |_, members| {
            members[0].weight = 0;
            members[2].weight = 0;
        });
        // A hash may have led to a server that takes none.
        if reason(&director, &from_client(SYN)) == Reason::NoServer {
            continue;
        }
        assert_eq!(server(&director), 1, "{pick:?}");
        assert_eq!(reason(&director, &from_client(SYN)), Reason::Direct);
        assert_eq!(server(&director), 1, "{pick:?}");
        assert_eq!(loads(&director, 3), [(0, 0), (1, 0), (0, 0)]);
        assert_eq!(director.stats(1).connections, 1);
    }
}

#[test]
fn a_repeated_syn_with_nowhere_to_go_is_told_so() {
    let mut director = director(Pick::Rotate, Method::Direct, 1, Plan::REDISPATCH);
    reason(&director, &from_client(SYN));
    director.edit(0, |_, members| members[0].weight = 0);
    let (verdict, _) = director.handle(&from_client(SYN).frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Transmit, Some(Reason::NoServer))
    );
    assert_eq!(director.states(), []);
    assert_eq!(director.connections(0), (0, 0));
}

#[test]
fn a_repeated_syn_to_a_deleted_server_is_redispatched_too() {
    for (flags, expected) in [
        (0, Reason::ServerDeleted),
        (Plan::REDISPATCH, Reason::Rescheduled),
    ] {
        let mut director = director(Pick::Rotate, Method::Direct, 2, flags);
        reason(&director, &from_client(SYN));
        let first = server(&director) as usize;
        director.edit(0, |_, members| {
            members.remove(first);
        });
        director.servers[first].flags |= Server::DELETED;
        assert_eq!(reason(&director, &from_client(SYN)), expected);
        assert_eq!(director.syn_retries(0) + director.syn_retries(1), 0);
    }
}

fn persistent() -> Director {
    let mut director = director(Pick::Rotate, Method::Direct, 2, Plan::REDISPATCH);
    director.edit(0, |plan, _| {
        plan.persistence = 60;
        plan.prefix = 24;
    });
    director
}

#[test]
fn a_network_that_never_reached_its_server_is_kept_with_the_next_one() {
    let director = persistent();
    reason(&director, &from_client(SYN));
    let first = server(&director);
    assert_eq!(director.templates(first), 1);
    assert_eq!(reason(&director, &from_client(SYN)), Reason::Rescheduled);
    assert_eq!(server(&director), 1 - first);
    assert_eq!(director.templates(first), 0);
    assert_eq!(director.templates(1 - first), 1);
    let neighbour = Draft::tcp("198.51.100.8:40000", VIRTUAL, SYN);
    assert_eq!(reason(&director, &neighbour), Reason::Direct);
    assert_eq!(director.connections(1 - first), (2, 0));
}

#[test]
fn a_network_with_sessions_on_a_server_is_kept_there() {
    let director = persistent();
    reason(&director, &from_client(SYN));
    let first = server(&director);
    reason(&director, &from_client(ACK));
    let neighbour = Draft::tcp("198.51.100.8:40000", VIRTUAL, SYN);
    reason(&director, &neighbour);
    assert_eq!(reason(&director, &neighbour), Reason::Direct);
    assert_eq!(director.connections(first), (2, 0));
    assert_eq!(director.syn_retries(first), 1);
    assert_eq!(director.stats(first).connections, 2);
}

#[test]
fn a_refusal_is_kept_from_the_client_once_and_its_next_syn_goes_elsewhere() {
    let refused = |server: u32| {
        let from = format!("10.0.0.{}:80", server + 1);
        Draft::tcp(&from, CLIENT, RST)
    };
    let director = director(Pick::Rotate, Method::Nat, 3, Plan::REDISPATCH);
    reason(&director, &from_client(SYN));
    let first = server(&director);
    assert_eq!(reason(&director, &refused(first)), Reason::Refused);
    assert_eq!(director.syn_retries(first), 1, "its health check is told");
    assert_eq!(server(&director), first);
    assert_eq!(reason(&director, &from_client(SYN)), Reason::Rescheduled);
    let second = server(&director);
    assert_ne!(second, first);
    // Who is refused twice is told; the health check of the second server, too.
    assert_eq!(reason(&director, &refused(second)), Reason::NatReply);
    assert_eq!(director.syn_retries(second), 1);
    assert_eq!(director.states()[0].1, "CLOSE");
}

#[test]
fn a_refusal_that_no_other_server_can_make_good_reaches_the_client() {
    let refused = Draft::tcp("10.0.0.1:80", CLIENT, RST);
    for (servers, flags) in [(1, Plan::REDISPATCH), (2, 0)] {
        let director = director(Pick::Rotate, Method::Nat, servers, flags);
        reason(&director, &from_client(SYN));
        let found = if server(&director) == 0 {
            "10.0.0.1:80"
        } else {
            "10.0.0.2:80"
        };
        let refused = refused.clone().with(|draft| draft.from = at(found));
        let server = server(&director);
        assert_eq!(reason(&director, &refused), Reason::NatReply);
        assert_eq!(director.syn_retries(server), 1);
    }
    // So does the end of a connection that was accepted.
    let director = director(Pick::Rotate, Method::Nat, 2, Plan::REDISPATCH);
    reason(&director, &from_client(SYN));
    let from = if server(&director) == 0 {
        "10.0.0.1:80"
    } else {
        "10.0.0.2:80"
    };
    for flags in [SYN | ACK, RST] {
        let reply = Draft::tcp(from, CLIENT, flags);
        assert_eq!(reason(&director, &reply), Reason::NatReply);
    }
}
