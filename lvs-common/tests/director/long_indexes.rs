//! Tables with more real servers than 16 bits number. The server of these tests has the number of another service's
//! server in its lower half: whatever loses the upper one is found there.

use lvs_common::abi::{Member, Method, Pick, Plan, SHORT_INDEXES, Server, Stats, TreeNode, ticks};
use lvs_common::connection::{Loads as _, Protocol, share, tcp};
use lvs_common::scheduler::{Flow, LocalitySearch, NO_SERVER, Search, pick};
use lvs_common::tables::Tables;
use lvs_common::verdict::Verdict;

use super::frames::{ACK, Draft, FIN, SYN, at};
use super::memory::Director;

const SERVER: u32 = SHORT_INDEXES + OTHER;
const OTHER: u32 = 1;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:c::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.1:80", "[2001:db8:1::1]:80"];
const OTHERS: [&str; 2] = ["192.0.2.2:80", "[2001:db8:1::2]:80"];
const REAL: [&str; 2] = ["10.0.0.1:8080", "[2001:db8:2::1]:8080"];

/// A way of handling a packet: by the fast path first, or by the stages alone.
type Handle = fn(&Director, &[u8]) -> (Verdict, Vec<u8>);

const WAYS: [Handle; 2] = [Director::handle, Director::handle_by_stages];

fn director(method: Method, family: usize) -> Director {
    let mut director = Director::new();
    director.long_indexes = true;
    let other = director.serve(Protocol::Tcp, at(OTHERS[family]), Pick::Rotate);
    for _ in 0..=OTHER {
        director.add(other, at(REAL[family]), method, 1);
    }
    director.skip_servers(SERVER);
    let service = director.serve(Protocol::Tcp, at(VIRTUAL[family]), Pick::Rotate);
    let server = director.add(service, at(REAL[family]), method, 1);
    assert_eq!((service, server), (1, SERVER));
    director
}

/// Nothing was counted for the other service's server.
#[track_caller]
fn others_are_idle(director: &Director) {
    assert_eq!(director.connections(OTHER), (0, 0));
    assert_eq!(director.templates(OTHER), 0);
    assert_eq!(director.stats(OTHER), Stats::default());
}

#[test]
fn a_connection_is_that_of_its_server_to_its_end() {
    for method in [Method::Direct, Method::Tunnel, Method::Nat] {
        for (family, handle) in [(0, WAYS[0]), (0, WAYS[1]), (1, WAYS[0]), (1, WAYS[1])] {
            let director = director(method, family);
            let (client, service) = (CLIENT[family], VIRTUAL[family]);
            let go = |draft: Draft| handle(&director, &draft.frame()).0;
            let mut expected = (0, 0);
            for flags in [SYN, ACK, ACK, FIN] {
                assert!(go(Draft::tcp(client, service, flags)).is_forwarded());
                expected.0 += 1;
                if method == Method::Nat && flags != FIN {
                    let flags = if flags == SYN { SYN | ACK } else { ACK };
                    assert!(go(Draft::tcp(REAL[family], client, flags)).is_forwarded());
                    expected.1 += 1;
                }
                let states = director.states();
                assert_eq!(states.len(), 1, "{states:?}");
                assert_eq!(states[0].0, SERVER);
            }
            let stats = director.stats(SERVER);
            assert_eq!(stats.connections, 1);
            assert_eq!((stats.in_packets, stats.out_packets), expected);
            assert_eq!(director.connections(SERVER), (0, 1), "{method:?}");
            others_are_idle(&director);
        }
    }
}

#[test]
fn a_connection_that_goes_leaves_its_own_servers_load() {
    for handle in WAYS {
        for method in [Method::Direct, Method::Nat] {
            let mut director = director(method, 0);
            let syn = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).frame();
            handle(&director, &syn);
            assert_eq!(director.connections(SERVER), (1, 0));
            director.servers[SERVER as usize].flags |= Server::DOWN;
            let next = director.add(1, at("10.0.0.9:8080"), method, 1);
            director.edit(1, |_, members| members[0].weight = 0);
            director.pass_time(1);
            handle(&director, &syn);
            assert_eq!(director.states(), [(next, "SYN_RECV")]);
            assert_eq!(director.connections(SERVER), (0, 0));
            others_are_idle(&director);
        }
    }
}

#[test]
fn a_template_keeps_its_clients_with_its_server() {
    let mut director = director(Method::Direct, 0);
    director.add(1, at("10.0.0.9:8080"), Method::Direct, 1);
    director.edit(1, |plan, _| (plan.persistence, plan.prefix) = (60, 24));
    for (port, count) in (40_000..).zip(1..=6) {
        for flags in [SYN, ACK] {
            let client = format!("198.51.100.7:{port}");
            director.handle(&Draft::tcp(&client, VIRTUAL[0], flags).frame());
        }
        assert_eq!(director.connections(SERVER), (count, 0));
    }
    assert_eq!(director.templates(SERVER), 1);
    assert_eq!(director.assured_templates(), 1);
    others_are_idle(&director);
}

#[test]
fn a_service_has_its_own_timeout_and_redispatch() {
    let mut director = director(Method::Direct, 0);
    let next = director.add(1, at("10.0.0.9:8080"), Method::Direct, 1);
    director.edit(1, |plan, _| {
        plan.timeouts = [ticks(7), 0, 0];
        plan.flags |= Plan::REDISPATCH;
    });
    let syn = Draft::tcp(CLIENT[0], VIRTUAL[0], SYN).frame();
    director.handle(&syn);
    assert_eq!(director.states(), [(SERVER, "SYN_RECV")]);
    director.handle(&syn);
    assert_eq!(director.states(), [(next, "SYN_RECV")]);
    let ack = Draft::tcp(CLIENT[0], VIRTUAL[0], ACK).frame();
    director.handle(&ack);
    director.pass_time(8);
    // What is expired is found no more: its packet begins nothing.
    assert!(!director.handle(&ack).0.is_forwarded());
    others_are_idle(&director);
}

#[test]
fn a_tree_finds_members_beyond_the_places_of_tables_of_the_usual_size() {
    let mut director = Director::new();
    director.long_indexes = true;
    director.skip_members(TreeNode::place(false));
    let address = at(VIRTUAL[0]);
    let service = director.serve(Protocol::Tcp, address, Pick::Least);
    for _ in 0..40 {
        director.add(service, at(REAL[0]), Method::Direct, 1);
    }
    let active = share(Protocol::Tcp, tcp::State::Established as u8);
    let plan = Tables::plan(&director, service).expect("a plan");
    let flow = Flow {
        source: 1,
        destination: 1,
        port: 1,
        hash: 1,
    };
    for server in 0..40 {
        let found = pick(
            &director,
            plan,
            &flow,
            &mut Search::new(NO_SERVER),
            &mut LocalitySearch::new(),
        );
        let picked = found.map(|(_, &Member { server, .. })| server);
        assert_eq!(picked, Some(server), "those before it have a connection");
        director.account(server, active);
    }
}
