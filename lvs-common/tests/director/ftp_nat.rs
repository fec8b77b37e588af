//! FTP by NAT: data connections that a control connection announces.

use std::net::SocketAddr;

use lvs_common::abi::{Method, Pick, Plan, SourcePool};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};
use proptest::prelude::*;

use super::frames::{ACK, Draft, FIN, Payload, RST, SYN, at, wide};
use super::memory::Director;

const SYN_ACK: u8 = SYN | ACK;
const VIRTUAL: [&str; 2] = ["192.0.2.1", "[2001:db8:1::1]"];
const CLIENT: [&str; 2] = ["198.51.100.7", "[2001:db8:c::7]"];
const REAL: [[&str; 2]; 2] = [
    ["10.0.0.1", "10.0.0.2"],
    ["[2001:db8:2::1]", "[2001:db8:2::2]"],
];
const PASSIVE: &str = "227 Entering Passive Mode (10,0,0,1,200,13).\r\n";
const EXTENDED: &str = "229 Entering Extended Passive Mode (|||51213|)\r\n";
const PORT: &str = "PORT 198,51,100,7,156,64\r\n";

/// Two servers in turn.
fn director(family: usize, method: Method) -> Director {
    let mut director = Director::new();
    let to = at(&format!("{}:21", VIRTUAL[family]));
    let service = director.serve(Protocol::Tcp, to, Pick::Rotate);
    for real in REAL[family] {
        director.add(service, at(&format!("{real}:21")), method, 1);
    }
    director.config.ftp_services = 1;
    director
}

/// A segment with this text.
fn say(from: &str, to: &str, text: &str) -> Draft {
    Draft::tcp(from, to, ACK | 8).with(|draft| {
        if let Payload::Tcp { data, .. } = &mut draft.payload {
            *data = text.as_bytes().to_vec();
        }
    })
}

/// A client, its control connection by port 30000, and the server that it has.
struct Session<'a> {
    director: &'a Director,
    family: usize,
    client: &'static str,
    real: &'static str,
}

impl<'a> Session<'a> {
    fn begin(director: &'a Director, family: usize) -> Self {
        let mut session = Self {
            director,
            family,
            client: CLIENT[family],
            real: REAL[family][0],
        };
        session.to_server(Draft::tcp(&session.from(30_000), &session.to(21), SYN), 21);
        session.to_client(
            Draft::tcp(&session.at(21), &session.from(30_000), SYN_ACK),
            21,
        );
        session.to_server(Draft::tcp(&session.from(30_000), &session.to(21), ACK), 21);
        session.real = REAL[family][0];
        session
    }

    fn from(&self, port: u16) -> String {
        format!("{}:{port}", self.client)
    }

    fn to(&self, port: u16) -> String {
        format!("{}:{port}", VIRTUAL[self.family])
    }

    fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.real)
    }

    /// A packet of the client that goes to this port of the server, as it is otherwise.
    fn to_server(&self, draft: Draft, port: u16) {
        let (verdict, after) = self.director.handle(&draft.frame());
        assert_eq!(verdict.reason(), Some(Reason::Nat), "{draft:?}");
        let real = at(&self.at(port));
        let expected = draft.with(|draft| draft.to = real).forwarded();
        assert_eq!(after, expected.frame());
    }

    /// A packet of the server that the client gets from this port of the virtual address, as it is otherwise.
    fn to_client(&self, draft: Draft, port: u16) {
        self.becomes(&draft.clone(), port, draft);
    }

    /// The same with other data.
    fn becomes(&self, draft: &Draft, port: u16, said: Draft) {
        let (verdict, after) = self.director.handle(&draft.frame());
        assert_eq!(verdict.reason(), Some(Reason::NatReply), "{draft:?}");
        let from = at(&self.to(port));
        assert_eq!(after, said.with(|said| said.from = from).returned().frame());
    }

    fn client_says(&self, text: &str) {
        self.to_server(say(&self.from(30_000), &self.to(21), text), 21);
    }

    /// The server's reply, and what the client reads.
    fn server_says(&self, text: &str, read: &str) {
        let (from, to) = (self.at(21), self.from(30_000));
        self.becomes(&say(&from, &to, text), 21, say(&from, &to, read));
    }

    /// Connects from this port to the one that a server announced.
    fn open(&self, port: u16) {
        let (from, to) = (self.from(port), self.to(51_213));
        self.to_server(Draft::tcp(&from, &to, SYN), 51_213);
        self.to_server(Draft::tcp(&from, &to, SYN), 51_213);
        self.to_client(Draft::tcp(&self.at(51_213), &from, SYN_ACK), 51_213);
        for _ in 0..3 {
            self.to_server(Draft::tcp(&from, &to, ACK), 51_213);
            self.to_client(Draft::tcp(&self.at(51_213), &from, ACK), 51_213);
        }
        assert!(self.states().contains(&"ESTABLISHED"));
    }

    /// The server connects to port 40000 of the client.
    fn open_back(&self) {
        let (from, to) = (self.from(40_000), self.to(20));
        self.to_client(Draft::tcp(&self.at(20), &from, SYN), 20);
        self.to_server(Draft::tcp(&from, &to, SYN_ACK), 20);
        self.to_server(Draft::tcp(&from, &to, SYN_ACK), 20);
        for _ in 0..3 {
            self.to_client(Draft::tcp(&self.at(20), &from, ACK), 20);
            self.to_server(Draft::tcp(&from, &to, ACK), 20);
        }
        assert_eq!(self.states(), ["ESTABLISHED"; 2]);
    }

    fn reason(&self, draft: &Draft) -> Option<Reason> {
        self.director.handle(&draft.frame()).0.reason()
    }

    /// Verdict on a client's SYN to the announced port.
    fn syn(&self, from: &str) -> Option<Reason> {
        self.reason(&Draft::tcp(from, &self.to(51_213), SYN))
    }

    /// Verdict on the server's SYN to the client's port.
    fn syn_back(&self) -> Option<Reason> {
        self.reason(&Draft::tcp(&self.at(20), &self.from(40_000), SYN))
    }

    fn states(&self) -> Vec<&'static str> {
        let states = self.director.states();
        states.into_iter().map(|(_, state)| state).collect()
    }

    fn eprt(&self) -> String {
        let address = at(&self.from(1)).ip();
        format!("EPRT |{}|{address}|40000|\r\n", self.family + 1)
    }
}

#[test]
fn a_passive_data_connection_goes_where_the_reply_says() {
    let director = director(0, Method::Nat);
    let session = Session::begin(&director, 0);
    session.client_says("PASV\r\n");
    assert_eq!(session.syn("198.51.100.7:40000"), Some(Reason::NoService));
    session.server_says(PASSIVE, "227 Entering Passive Mode(192,0,2,1,200,13).\r\n");
    let mut states = session.states();
    states.sort_unstable();
    assert_eq!(states, ["ESTABLISHED", "LISTEN"]);
    assert_eq!(director.connections(0), (1, 1));
    // Neither for others nor for other ports.
    assert_eq!(session.syn("198.51.100.8:40000"), Some(Reason::NoService));
    let other = Draft::tcp("198.51.100.7:40000", "192.0.2.1:51214", SYN);
    assert_eq!(session.reason(&other), Some(Reason::NoService));
    session.open(40_000);
    assert_eq!(director.connections(0), (2, 0));
    // It was announced once.
    assert_eq!(session.syn("198.51.100.7:40001"), Some(Reason::NoService));
    // A reply that is repeated announces it again.
    session.server_says(PASSIVE, "227 Entering Passive Mode(192,0,2,1,200,13).\r\n");
    session.server_says(PASSIVE, "227 Entering Passive Mode(192,0,2,1,200,13).\r\n");
    assert_eq!(director.connections(0), (2, 1));
    director.pass_time(121);
    assert_eq!(session.syn("198.51.100.7:40001"), Some(Reason::NoService));
}

#[test]
fn an_extended_passive_one_does_in_both_families() {
    for family in 0..2 {
        let director = director(family, Method::Nat);
        let session = Session::begin(&director, family);
        session.server_says(EXTENDED, EXTENDED);
        session.open(40_000);
    }
}

#[test]
fn a_server_opens_the_connection_that_its_client_announced() {
    for family in 0..2 {
        let extended = Session::begin(&director(family, Method::Nat), family).eprt();
        let messages = [extended.as_str(), PORT];
        for message in &messages[..2 - family] {
            let director = director(family, Method::Nat);
            let session = Session::begin(&director, family);
            assert_eq!(session.syn_back(), Some(Reason::NoConnection));
            session.client_says(message);
            session.client_says(message);
            assert_eq!(director.connections(0), (1, 1));
            // It is not the client that opens it.
            for flags in [SYN, SYN_ACK] {
                let early = Draft::tcp(&session.from(40_000), &session.to(20), flags);
                assert_eq!(session.reason(&early), Some(Reason::NoConnection));
            }
            session.open_back();
            // Repeated while the connection is under way.
            session.client_says(message);
            assert_eq!(session.states(), ["ESTABLISHED"; 2]);
            assert_eq!(director.connections(0), (2, 0));
            let (from, to) = (session.from(40_000), session.to(20));
            session.to_client(Draft::tcp(&session.at(20), &from, FIN), 20);
            session.to_server(Draft::tcp(&from, &to, FIN), 20);
            assert!(session.states().contains(&"TIME_WAIT"));
            // By the same ports once more.
            session.client_says(message);
            session.open_back();
            director.pass_time(1_000);
            assert_eq!(session.syn_back(), Some(Reason::NoConnection));
        }
    }
}

#[test]
fn nobody_announces_what_is_not_its_own() {
    for (text, port) in [
        ("PORT 198,51,100,8,156,64\r\n", 40_000),
        ("PORT 10,0,0,2,156,64\r\n", 40_000),
        ("PORT 198,51,100,7,3,255\r\n", 1023),
        ("EPRT |1|198.51.100.8|40000|\r\n", 40_000),
        ("EPRT |2|2001:db8:c::7|40000|\r\n", 40_000),
        ("PORT 198,51,100,7,156,64", 40_000),
        ("NOOP\r\nPORT 198,51,100,7,156,64\r\n", 40_000),
        (PASSIVE, 40_000),
    ] {
        let director = director(0, Method::Nat);
        let session = Session::begin(&director, 0);
        session.client_says(text);
        assert_eq!(session.states(), ["ESTABLISHED"], "{text}");
        for client in ["198.51.100.7", "198.51.100.8", "10.0.0.2"] {
            let back = Draft::tcp(&session.at(20), &format!("{client}:{port}"), SYN);
            assert_ne!(session.reason(&back), Some(Reason::NatReply), "{text}");
        }
    }
    for text in [
        "227 Entering Passive Mode (10,0,0,2,200,13).\r\n",
        "227 Entering Passive Mode (10,0,0,1,3,255).\r\n",
        "227 Entering Passive Mode (10,0,0,1,200",
        "229 Entering Extended Passive Mode (|||1023|)\r\n",
        PORT,
    ] {
        let director = director(0, Method::Nat);
        let session = Session::begin(&director, 0);
        session.server_says(text, text);
        assert_eq!(session.states(), ["ESTABLISHED"], "{text}");
        assert_eq!(session.syn("198.51.100.7:40000"), Some(Reason::NoService));
    }
}

#[test]
fn a_server_may_announce_the_virtual_address() {
    let director = director(0, Method::Nat);
    let session = Session::begin(&director, 0);
    let text = "227 Entering Passive Mode (192,0,2,1,200,13).\r\n";
    session.server_says(text, text);
    session.open(40_000);
}

#[test]
fn a_reply_without_room_keeps_its_address() {
    let director = director(0, Method::Nat);
    let session = Session::begin(&director, 0);
    session.server_says("227 (10,0,0,1,200,13)\r\n", "227 (10,0,0,1,200,13)\r\n");
    // A client that asks the address of the control connection all the same gets there.
    session.open(40_000);
    session.server_says("227 =(10,0,0,1,200,13)\r\n", "227 (192,0,2,1,200,13)\r\n");
}

#[test]
fn a_server_at_another_port_opens_it_from_the_port_below() {
    let mut director = director(0, Method::Nat);
    director.servers[0].port = 2121.into();
    let session = Session {
        director: &director,
        family: 0,
        client: CLIENT[0],
        real: REAL[0][0],
    };
    let (client, to) = (session.from(30_000), session.to(21));
    session.to_server(Draft::tcp(&client, &to, SYN), 2121);
    session.to_server(say(&client, &to, PORT), 2121);
    session.to_client(
        Draft::tcp(&session.at(2120), &session.from(40_000), SYN),
        20,
    );
    session.to_server(
        Draft::tcp(&session.from(40_000), &session.to(20), SYN_ACK),
        2120,
    );
}

#[test]
fn a_syn_without_an_answer_stays_with_its_server() {
    let mut director = director(0, Method::Nat);
    director.edit(0, |plan, _| plan.flags |= Plan::REDISPATCH);
    let session = Session::begin(&director, 0);
    session.server_says(EXTENDED, EXTENDED);
    let data = Draft::tcp(&session.from(40_000), &session.to(51_213), SYN);
    session.to_server(data.clone(), 51_213);
    session.to_server(data.clone(), 51_213);
    session.to_client(
        Draft::tcp(&session.at(51_213), &session.from(40_000), RST),
        51_213,
    );
}

#[test]
fn by_full_nat_only_the_client_opens_data_connections() {
    let mut director = director(0, Method::Nat);
    director.source_pools.push(SourcePool {
        first: wide(at("10.0.0.254:0").ip()),
        addresses: 1,
        first_port: 2000,
        last_port: 2999,
        flags: 0,
        reserved: 0,
    });
    director.servers[0].source_pool = 1;
    let seen = |after: &[u8]| {
        let port = u16::from_be_bytes([after[34], after[35]]);
        let address: [u8; 4] = after[26..30].try_into().expect("four bytes");
        SocketAddr::new(address.into(), port).to_string()
    };
    let (control, data) = ("198.51.100.7:30000", "198.51.100.7:40000");
    let (verdict, after) = director.handle(&Draft::tcp(control, "192.0.2.1:21", SYN).frame());
    assert_eq!(verdict.reason(), Some(Reason::Nat));
    let reply = say("10.0.0.1:21", &seen(&after), PASSIVE);
    let (verdict, after) = director.handle(&reply.frame());
    assert_eq!(verdict.reason(), Some(Reason::NatReply));
    let read = "227 Entering Passive Mode(192,0,2,1,200,13).\r\n";
    let expected = say("192.0.2.1:21", control, read).returned();
    assert_eq!(after, expected.frame());
    let (verdict, after) = director.handle(&Draft::tcp(data, "192.0.2.1:51213", SYN).frame());
    assert_eq!(verdict.action(), Action::Transmit);
    let source = seen(&after);
    assert!(source.starts_with("10.0.0.254:2"), "{source}");
    for flags in [SYN_ACK, ACK, ACK] {
        let reply = Draft::tcp("10.0.0.1:51213", &source, flags);
        let (_, after) = director.handle(&reply.frame());
        let expected = Draft::tcp("192.0.2.1:51213", data, flags).returned();
        assert_eq!(after, expected.frame());
        let (_, after) = director.handle(&Draft::tcp(data, "192.0.2.1:51213", ACK).frame());
        let expected = Draft::tcp(&source, "10.0.0.1:51213", ACK).forwarded();
        assert_eq!(after, expected.frame());
    }
    let before = director.states().len();
    director.handle(&say(control, "192.0.2.1:21", PORT).frame());
    assert_eq!(director.states().len(), before);
}

#[test]
fn other_methods_and_services_are_not_listened_to() {
    let direct = director(0, Method::Direct);
    let control = |flags| Draft::tcp("198.51.100.7:30000", "192.0.2.1:21", flags);
    direct.handle(&control(SYN).frame());
    direct.handle(&control(ACK).frame());
    direct.handle(&say("198.51.100.7:30000", "192.0.2.1:21", PORT).frame());
    assert_eq!(direct.states().len(), 1);
    let mut other = Director::new();
    let service = other.serve(Protocol::Tcp, at("192.0.2.1:2121"), Pick::Rotate);
    other.add(service, at("10.0.0.1:21"), Method::Nat, 1);
    for draft in [
        Draft::tcp("198.51.100.7:30000", "192.0.2.1:2121", SYN),
        say("198.51.100.7:30000", "192.0.2.1:2121", PORT),
    ] {
        assert_eq!(other.handle(&draft.frame()).0.reason(), Some(Reason::Nat));
    }
    assert_eq!(other.states().len(), 1);
}

#[test]
fn a_clients_own_port_0_announces_nothing() {
    let mut director = director(0, Method::Nat);
    let web = director.serve(Protocol::Tcp, at("192.0.2.1:8080"), Pick::Rotate);
    director.add(web, at("10.0.0.3:80"), Method::Nat, 1);
    for port in [0, 40_000] {
        let syn = Draft::tcp(&format!("198.51.100.7:{port}"), "192.0.2.1:8080", SYN);
        let (_, after) = director.handle_by_stages(&syn.frame());
        let expected = syn.with(|syn| syn.to = at("10.0.0.3:80")).forwarded();
        assert_eq!(after, expected.frame(), "port {port}");
    }
}

#[test]
fn a_service_at_an_announced_port_has_its_clients() {
    let mut director = director(0, Method::Nat);
    let web = director.serve(Protocol::Tcp, at("192.0.2.1:51213"), Pick::Rotate);
    director.add(web, at("10.0.0.3:80"), Method::Nat, 1);
    let session = Session::begin(&director, 0);
    session.server_says(EXTENDED, EXTENDED);
    for port in [40_000, 40_001] {
        let syn = Draft::tcp(&session.from(port), "192.0.2.1:51213", SYN);
        let (_, after) = if port == 40_000 {
            director.handle(&syn.frame())
        } else {
            director.handle_by_stages(&syn.frame())
        };
        let expected = syn.with(|syn| syn.to = at("10.0.0.3:80")).forwarded();
        assert_eq!(after, expected.frame());
    }
}

#[test]
fn announced_connections_are_recycled_first() {
    let director = Director::with_sets(2);
    let director = {
        let mut director = director;
        let service = director.serve(Protocol::Tcp, at("192.0.2.1:21"), Pick::Rotate);
        director.add(service, at("10.0.0.1:21"), Method::Nat, 1);
        director.config.ftp_services = 1;
        director
    };
    let session = Session::begin(&director, 0);
    for port in 1024..4_096_u16 {
        let (high, low) = (port >> 8, port & 255);
        session.client_says(&format!("PORT 198,51,100,7,{high},{low}\r\n"));
        let text = format!("229 Entering Extended Passive Mode (|||{port}|)\r\n");
        session.server_says(&text, &text);
    }
    assert!(session.states().contains(&"ESTABLISHED"));
    let listening = session.states();
    let listening = listening.iter().filter(|state| **state == "LISTEN");
    assert!((1..=2 * 4).contains(&listening.count()));
}

/// A step of clients and a server.
#[derive(Clone, Debug)]
enum Move {
    Client {
        client: u8,
        text: usize,
    },
    Server {
        client: u8,
        text: usize,
    },
    Data {
        client: u8,
        port: u16,
        to: u16,
        flags: u8,
    },
    Back {
        client: u8,
        port: u16,
        from: u16,
        flags: u8,
    },
    Wait(u32),
}

const TEXTS: [&str; 9] = [
    PASSIVE,
    EXTENDED,
    "227 Entering Passive Mode (10,0,0,2,200,13).\r\n",
    "PORT 198,51,100,0,156,64\r\n",
    "PORT 198,51,100,1,156,64\r\n",
    "EPRT |1|198.51.100.0|40000|\r\n",
    "PORT 198,51,100,1,200,13\r\n",
    "",
    "NOOP\r\n",
];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let flags = || proptest::sample::select(vec![SYN, SYN, SYN_ACK, ACK, ACK, FIN, RST]);
    let port = || proptest::sample::select(vec![40_000, 51_213, 51_214, 0, 20, 21]);
    let one = prop_oneof![
        (0..2_u8, 0..TEXTS.len()).prop_map(|(client, text)| Move::Client { client, text }),
        (0..2_u8, 0..TEXTS.len()).prop_map(|(client, text)| Move::Server { client, text }),
        (0..2_u8, port(), port(), flags()).prop_map(|(client, port, to, flags)| Move::Data {
            client,
            port,
            to,
            flags
        }),
        (0..2_u8, port(), port(), flags()).prop_map(|(client, port, from, flags)| Move::Back {
            client,
            port,
            from,
            flags
        }),
        (0..100_u32).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), ..ProptestConfig::default() })]

    /// Whatever is announced and opened, the fast path does what the stages do.
    #[test]
    fn both_ways_follow_announcements(moves in moves()) {
        let directors = [(); 2].map(|()| {
            let mut director = director(0, Method::Nat);
            // A port that is announced, too.
            let other = director.serve(Protocol::Tcp, at("192.0.2.1:51214"), Pick::Rotate);
            director.add(other, at("10.0.0.2:51214"), Method::Nat, 1);
            director
        });
        let [short, long] = &directors;
        let both = |draft: Draft| {
            let frame = draft.frame();
            (short.handle(&frame), long.handle_by_stages(&frame))
        };
        for client in 0..2 {
            for flags in [SYN, ACK] {
                let from = format!("198.51.100.{client}:30000");
                both(Draft::tcp(&from, "192.0.2.1:21", flags));
            }
        }
        for step in moves {
            let client = |client: u8, port: u16| format!("198.51.100.{client}:{port}");
            let draft = match step {
                Move::Wait(seconds) => {
                    short.pass_time(seconds);
                    long.pass_time(seconds);
                    continue;
                }
                Move::Client { client: number, text } => {
                    say(&client(number, 30_000), "192.0.2.1:21", TEXTS[text])
                }
                Move::Server { client: number, text } => {
                    say("10.0.0.1:21", &client(number, 30_000), TEXTS[text])
                }
                Move::Data { client: number, port, to, flags } => {
                    Draft::tcp(&client(number, port), &format!("192.0.2.1:{to}"), flags)
                }
                Move::Back { client: number, port, from, flags } => {
                    Draft::tcp(&format!("10.0.0.1:{from}"), &client(number, port), flags)
                }
            };
            let (one, other) = both(draft);
            prop_assert_eq!(one, other);
            prop_assert_eq!(short.states(), long.states());
        }
    }
}
