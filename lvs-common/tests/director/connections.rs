//! Connections from their first packet to their last: which server, which state, how they count.

use lvs_common::abi::{Method, Pick, Plan, Server, ticks};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::memory::Director;

const CLIENT: &str = "198.51.100.7:40000";
const VIRTUAL: &str = "192.0.2.1:80";
const REAL: &str = "10.0.0.1:8080";

fn tcp(method: Method) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(VIRTUAL), Pick::Rotate);
    director.add(service, at(REAL), method, 1);
    director
}

/// What a packet is counted as.
#[track_caller]
fn reason(director: &Director, draft: &Draft) -> Reason {
    let (verdict, _) = director.handle(&draft.frame());
    verdict.reason().expect("a known reason")
}

fn from_client(flags: u8) -> Draft {
    Draft::tcp(CLIENT, VIRTUAL, flags)
}

fn from_server(flags: u8) -> Draft {
    Draft::tcp(REAL, CLIENT, flags)
}

#[track_caller]
fn is(director: &Director, state: &'static str, connections: (u32, u32)) {
    assert_eq!(director.states(), [(0, state)]);
    assert_eq!(director.connections(0), connections);
}

#[test]
fn a_connection_seen_from_one_side_lives_from_its_syn_to_its_fin() {
    let director = tcp(Method::Direct);
    let go = |flags| reason(&director, &from_client(flags));
    assert_eq!(go(SYN), Reason::Direct);
    is(&director, "SYN_RECV", (1, 0));
    assert_eq!(go(ACK), Reason::Direct);
    is(&director, "ESTABLISHED", (1, 0));
    assert_eq!(go(FIN), Reason::Direct);
    is(&director, "FIN_WAIT", (0, 1));
    let stats = director.stats(0);
    assert_eq!(
        (stats.connections, stats.in_packets, stats.in_bytes),
        (1, 3, 3 * 47)
    );
    assert_eq!(stats.out_packets, 0);
}

#[test]
fn a_connection_seen_from_both_sides_lives_through_the_close_of_both() {
    let director = tcp(Method::Nat);
    for (draft, expected, state, connections) in [
        (from_client(SYN), Reason::Nat, "SYN_RECV", (1, 0)),
        (from_server(SYN | ACK), Reason::NatReply, "SYN_RECV", (1, 0)),
        (from_client(ACK), Reason::Nat, "ESTABLISHED", (1, 0)),
        (from_client(FIN), Reason::Nat, "CLOSE_WAIT", (0, 1)),
        (from_server(ACK), Reason::NatReply, "CLOSE_WAIT", (0, 1)),
        (from_server(FIN), Reason::NatReply, "TIME_WAIT", (0, 1)),
        (from_client(ACK), Reason::Nat, "TIME_WAIT", (0, 1)),
    ] {
        assert_eq!(reason(&director, &draft), expected);
        is(&director, state, connections);
    }
    let stats = director.stats(0);
    assert_eq!(
        (stats.connections, stats.in_packets, stats.out_packets),
        (1, 4, 3)
    );
}

#[test]
fn a_reset_closes_from_either_side() {
    for reset in [from_client(RST), from_server(RST)] {
        let director = tcp(Method::Nat);
        reason(&director, &from_client(SYN));
        reason(&director, &from_client(ACK));
        reason(&director, &reset);
        is(&director, "CLOSE", (0, 1));
    }
}

#[test]
fn only_a_syn_starts_a_tcp_connection() {
    let director = tcp(Method::Direct);
    for flags in [0, ACK, FIN, RST, SYN | RST] {
        assert_eq!(reason(&director, &from_client(flags)), Reason::NoConnection);
    }
    let ftp_data = Draft::tcp("198.51.100.7:20", VIRTUAL, SYN);
    assert_eq!(reason(&director, &ftp_data), Reason::NoConnection);
    assert_eq!(reason(&director, &from_client(SYN | ACK)), Reason::Direct);
}

#[test]
fn what_is_none_of_the_directors_passes() {
    let director = tcp(Method::Nat);
    let pass = |draft: &Draft| {
        let frame = draft.frame();
        let (verdict, after) = director.handle(&frame);
        assert_eq!(verdict.action(), Action::Pass);
        assert_eq!(frame, after);
        verdict.reason()
    };
    let elsewhere = Draft::tcp(CLIENT, "203.0.113.9:80", SYN);
    assert_eq!(pass(&elsewhere), Some(Reason::NotOurs));
    let port = Draft::tcp(CLIENT, "192.0.2.1:81", SYN);
    assert_eq!(pass(&port), Some(Reason::NoService));
    let protocol = Draft::other(CLIENT, VIRTUAL, 47, vec![0; 16]);
    assert_eq!(pass(&protocol), Some(Reason::OtherProtocol));
    let ping = Draft::icmp(CLIENT, VIRTUAL, (8, 0, 1), vec![0; 16]);
    assert_eq!(pass(&ping), Some(Reason::IcmpOther));
}

#[test]
fn a_service_for_every_port_takes_what_no_other_takes() {
    let mut director = tcp(Method::Direct);
    let any = director.serve(Protocol::Tcp, at("192.0.2.1:0"), Pick::Rotate);
    director.add(any, at("10.0.0.2:0"), Method::Direct, 1);
    reason(&director, &from_client(SYN));
    reason(&director, &Draft::tcp(CLIENT, "192.0.2.1:81", SYN));
    assert_eq!(
        (director.connections(0), director.connections(1)),
        ((1, 0), (1, 0))
    );
}

#[test]
fn an_expired_connection_is_a_miss_and_starts_anew() {
    let mut director = tcp(Method::Nat);
    director.add(0, at("10.0.0.2:80"), Method::Nat, 1);
    reason(&director, &from_client(SYN));
    director.pass_time(59);
    assert_eq!(reason(&director, &from_client(SYN)), Reason::Nat);
    assert_eq!(
        (director.connections(0), director.connections(1)),
        ((1, 0), (0, 0))
    );
    director.pass_time(901);
    assert_eq!(reason(&director, &from_server(ACK)), Reason::NoConnection);
    assert_eq!(reason(&director, &from_client(ACK)), Reason::NoConnection);
    assert_eq!(
        director.connections(0),
        (0, 0),
        "the late packet found it expired"
    );
    assert_eq!(director.states(), []);
    reason(&director, &from_client(SYN));
    assert_eq!(
        (director.connections(0), director.connections(1)),
        ((0, 0), (1, 0))
    );
}

#[test]
fn a_syn_on_a_connection_that_is_over_is_scheduled_anew() {
    let mut director = tcp(Method::Direct);
    director.add(0, at("10.0.0.2:80"), Method::Direct, 1);
    for flags in [SYN, ACK, RST, SYN] {
        reason(&director, &from_client(flags));
    }
    assert_eq!(director.states(), [(1, "SYN_RECV")]);
    assert_eq!(
        (director.connections(0), director.connections(1)),
        ((0, 0), (1, 0))
    );
}

#[test]
fn a_syn_on_a_living_connection_stays_with_its_server() {
    let mut director = tcp(Method::Direct);
    director.add(0, at("10.0.0.2:80"), Method::Direct, 1);
    reason(&director, &from_client(SYN));
    reason(&director, &from_client(ACK));
    reason(&director, &from_client(SYN));
    assert_eq!(director.states(), [(0, "ESTABLISHED")]);
}

#[test]
fn packets_of_a_deleted_servers_connections_are_dropped() {
    let mut director = tcp(Method::Direct);
    reason(&director, &from_client(SYN));
    director.servers[0].flags |= Server::DELETED;
    let (verdict, _) = director.handle(&from_client(ACK).frame());
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Drop, Some(Reason::ServerDeleted))
    );
}

#[test]
fn a_quiesced_server_keeps_its_connections_and_takes_no_others() {
    let mut director = tcp(Method::Direct);
    reason(&director, &from_client(SYN));
    director.edit(0, |_, members| members[0].weight = 0);
    assert_eq!(reason(&director, &from_client(ACK)), Reason::Direct);
    let other = Draft::tcp("198.51.100.7:40001", VIRTUAL, SYN);
    assert_eq!(reason(&director, &other), Reason::NoServer);
}

#[test]
fn a_server_without_a_known_neighbour_gets_nothing() {
    let mut director = tcp(Method::Direct);
    director.servers[0].hop = 0;
    assert_eq!(reason(&director, &from_client(SYN)), Reason::Unresolved);
}

#[test]
fn the_directors_own_stack_can_be_the_server() {
    let director = tcp(Method::Local);
    let frame = from_client(SYN).with(|draft| draft.ttl = 1).frame();
    let (verdict, after) = director.handle(&frame);
    assert_eq!(
        (verdict.action(), verdict.reason()),
        (Action::Pass, Some(Reason::Local))
    );
    assert_eq!(frame, after);
    is(&director, "SYN_RECV", (1, 0));
}

#[test]
fn one_packet_scheduling_remembers_nothing() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Udp, at(VIRTUAL), Pick::Rotate);
    director.add(service, at(REAL), Method::Direct, 1);
    director.add(service, at("10.0.0.2:80"), Method::Direct, 1);
    director.edit(service, |plan, _| plan.flags |= Plan::ONE_PACKET);
    for _ in 0..10 {
        assert_eq!(
            reason(&director, &Draft::udp(CLIENT, VIRTUAL)),
            Reason::Direct
        );
    }
    assert_eq!(director.states(), []);
    for server in 0..2 {
        assert_eq!(director.stats(server).connections, 5);
        assert_eq!(director.connections(server), (0, 0));
    }
}

#[test]
fn udp_is_one_inactive_state_of_five_minutes() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Udp, at(VIRTUAL), Pick::Rotate);
    director.add(service, at(REAL), Method::Direct, 1);
    let draft = Draft::udp(CLIENT, VIRTUAL);
    reason(&director, &draft);
    is(&director, "UDP", (0, 1));
    director.pass_time(299);
    reason(&director, &draft);
    director.pass_time(299);
    reason(&director, &draft);
    assert_eq!(director.stats(0).connections, 1);
    director.pass_time(302);
    reason(&director, &draft);
    assert_eq!(director.stats(0).connections, 2);
}

#[test]
fn an_sctp_association_starts_with_init_and_ends_with_shutdown() {
    let mut director = Director::new();
    let service = director.serve(Protocol::Sctp, at(VIRTUAL), Pick::Rotate);
    director.add(service, at(REAL), Method::Nat, 1);
    let out = |chunk| reason(&director, &Draft::sctp(CLIENT, VIRTUAL, chunk));
    let back = |chunk| reason(&director, &Draft::sctp(REAL, CLIENT, chunk));
    assert_eq!(out(0), Reason::NoConnection);
    assert_eq!(out(1), Reason::Nat);
    is(&director, "INIT1", (0, 1));
    assert_eq!(back(2), Reason::NatReply);
    is(&director, "C-SENT", (0, 1));
    out(10);
    is(&director, "C-REPLIED", (0, 1));
    back(11);
    is(&director, "ESTABLISHED", (1, 0));
    out(7);
    is(&director, "S-RECEIVED", (0, 1));
    back(8);
    is(&director, "S-ACK-SENT", (0, 1));
    out(14);
    is(&director, "CLOSED", (0, 1));
}

#[test]
fn thresholds_have_hysteresis() {
    let mut director = tcp(Method::Direct);
    director.edit(0, |_, members| {
        (members[0].upper, members[0].lower) = (4, 2);
    });
    let client = |port: u16| format!("198.51.100.7:{port}");
    let syn = |port| reason(&director, &Draft::tcp(&client(port), VIRTUAL, SYN));
    for port in 1000..1004 {
        assert_eq!(syn(port), Reason::Direct);
    }
    assert_eq!(syn(1004), Reason::NoServer);
    // Two expire (SYN_RECV 60 s), the others live on: still not below the lower threshold.
    director.pass_time(40);
    for port in 1000..1002 {
        reason(&director, &Draft::tcp(&client(port), VIRTUAL, ACK));
    }
    director.pass_time(40);
    for port in 1002..1004 {
        reason(&director, &Draft::tcp(&client(port), VIRTUAL, ACK));
    }
    assert_eq!(director.connections(0), (2, 0));
    assert_eq!(syn(1005), Reason::NoServer);
    reason(&director, &Draft::tcp(&client(1000), VIRTUAL, RST));
    director.pass_time(11);
    reason(&director, &Draft::tcp(&client(1000), VIRTUAL, ACK));
    assert_eq!(director.connections(0), (1, 0));
    assert_eq!(syn(1006), Reason::Direct);
}

#[test]
fn a_service_may_have_timeouts_of_its_own() {
    for method in [Method::Direct, Method::Nat] {
        let mut director = tcp(method);
        // Longer and shorter than those of all services: 900 and 120 s.
        director.edit(0, |plan, _| plan.timeouts = [ticks(2000), ticks(30), 0]);
        let go = |flags| {
            reason(&director, &from_client(flags));
            // The fast path has the next one: the connection is left in its state.
            reason(&director, &from_client(flags));
        };
        reason(&director, &from_client(SYN));
        if method == Method::Nat {
            reason(&director, &from_server(SYN | ACK));
        }
        go(ACK);
        if method == Method::Nat {
            reason(&director, &from_server(ACK));
        }
        director.pass_time(1990);
        go(ACK);
        assert_eq!(director.states(), [(0, "ESTABLISHED")], "{method:?}");
        director.pass_time(1990);
        go(FIN);
        let closing = director.states()[0].1;
        assert!(["FIN_WAIT", "CLOSE_WAIT"].contains(&closing), "{closing}");
        director.pass_time(if method == Method::Nat { 61 } else { 31 });
        assert_eq!(reason(&director, &from_client(ACK)), Reason::NoConnection);
    }
}

#[test]
fn a_udp_service_may_forget_its_flows_sooner() {
    let mut director = Director::new();
    for port in [53, 54] {
        let service = director.serve(
            Protocol::Udp,
            at(&format!("192.0.2.1:{port}")),
            Pick::Rotate,
        );
        director.add(service, at(REAL), Method::Direct, 1);
    }
    director.edit(0, |plan, _| plan.timeouts = [0, 0, ticks(5)]);
    for port in [53, 54] {
        let to = format!("192.0.2.1:{port}");
        reason(&director, &Draft::udp(CLIENT, &to));
    }
    director.pass_time(6);
    for port in [53, 54] {
        let to = format!("192.0.2.1:{port}");
        reason(&director, &Draft::udp(CLIENT, &to));
    }
    assert_eq!(director.stats(0).connections, 2, "forgotten");
    assert_eq!(director.stats(1).connections, 1, "remembered");
}
