//! Persistence by Call-ID: whose messages go together, and what is taken for a Call-ID.

use std::net::SocketAddr;

use lvs_common::abi::{Method, Pick, Plan};
use lvs_common::connection::Protocol;
use lvs_common::verdict::{Action, Reason};

use super::frames::{Draft, Payload, SYN, at};
use super::memory::Director;

const V4: &str = "192.0.2.1:5060";
const V6: &str = "[2001:db8::1]:5060";
const CLIENTS: [(&str, [&str; 3]); 2] = [
    (
        V4,
        ["198.51.100.7:5060", "203.0.113.7:5060", "198.51.100.8:5060"],
    ),
    (
        V6,
        [
            "[2001:db8:1::7]:5060",
            "[2001:db8:2::7]:5060",
            "[2001:db8:1::8]:5060",
        ],
    ),
];

/// Two servers in turn, calls kept for a minute.
fn director(virtual_address: &str, method: Method, flags: u8) -> Director {
    with_protocol(Protocol::Udp, virtual_address, method, flags)
}

fn with_protocol(protocol: Protocol, virtual_address: &str, method: Method, flags: u8) -> Director {
    let mut director = Director::new();
    let virtual_address: SocketAddr = at(virtual_address);
    let service = director.serve(protocol, virtual_address, Pick::Rotate);
    let servers = if virtual_address.is_ipv4() {
        ["10.0.0.1:5060", "10.0.0.2:5060"]
    } else {
        ["[fd00::1]:5060", "[fd00::2]:5060"]
    };
    for server in servers {
        director.add(service, at(server), method, 1);
    }
    director.edit(service, |plan, _| {
        plan.persistence = 60;
        plan.prefix = if virtual_address.is_ipv4() { 24 } else { 64 };
        plan.scheduler |= Plan::BY_CALL_ID;
        plan.flags |= flags;
    });
    director
}

fn message(from: &str, to: &str, text: impl AsRef<[u8]>) -> Draft {
    Draft::udp(from, to).with(|draft| {
        if let Payload::Udp { data, .. } = &mut draft.payload {
            *data = text.as_ref().to_vec();
        }
    })
}

/// A request of a call.
fn request(call_id: &str) -> String {
    format!(
        "INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.org;branch=z9hG4bK776\r\n\
         From: Alice <sip:alice@example.org>;tag=1928301774\r\nTo: Bob <sip:bob@example.org>\r\n\
         Call-ID: {call_id}\r\nCSeq: 314159 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The server that a message is sent to; `None`: it is dropped for want of a Call-ID.
fn server(director: &Director, draft: &Draft) -> Option<u32> {
    let before = [0, 1].map(|server| director.stats(server).in_packets);
    let (verdict, _) = director.handle(&draft.frame());
    let after = [0, 1].map(|server| director.stats(server).in_packets);
    match (after[0] - before[0], after[1] - before[1]) {
        (1, 0) => Some(0),
        (0, 1) => Some(1),
        (0, 0) => {
            assert_eq!(verdict.reason(), Some(Reason::NoCallId));
            assert_eq!(verdict.action(), Action::Drop);
            None
        }
        counted => panic!("one packet, counted {counted:?} times"),
    }
}

/// Call-IDs that are kept, sorted.
fn calls(director: &Director) -> Vec<String> {
    let calls = director.calls.lock().expect("no panic while held");
    let mut ids: Vec<String> = calls
        .values()
        .map(|call| String::from_utf8_lossy(call.id().expect("complete")).into_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn the_messages_of_a_call_go_to_one_server() {
    for (to, [alice, bob, carol]) in CLIENTS {
        for method in [Method::Direct, Method::Nat] {
            for flags in [0, Plan::ONE_PACKET] {
                let director = director(to, method, flags);
                let one = server(&director, &message(alice, to, request("one@example.org")));
                let other = server(&director, &message(carol, to, request("other@example.org")));
                assert!(one.is_some() && other.is_some() && one != other);
                for _ in 0..3 {
                    // From another port: a flow that is known stays where it is.
                    let again = carol.replace(":5060", ":5070");
                    let again = message(&again, to, request("one@example.org"));
                    assert_eq!(server(&director, &again), one);
                }
                assert_eq!(calls(&director), ["one@example.org", "other@example.org"]);
                assert_eq!((director.templates(0), director.templates(1)), (1, 1));
                // Of another network it is another call.
                server(&director, &message(bob, to, request("one@example.org")));
                let templates = [0, 1].map(|server| director.templates(server));
                assert_eq!(templates.iter().sum::<u32>(), 3, "{templates:?}");
            }
        }
    }
}

#[test]
fn a_client_with_another_call_is_scheduled_anew() {
    for (to, [alice, ..]) in CLIENTS {
        let director = director(to, Method::Direct, Plan::ONE_PACKET);
        let servers: Vec<_> = (0..4)
            .map(|call| server(&director, &message(alice, to, request(&call.to_string()))))
            .collect();
        assert_eq!(servers, [Some(0), Some(1), Some(0), Some(1)]);
    }
}

/// The Call-ID that the packet path finds in a message.
fn found(text: impl AsRef<[u8]>) -> Option<String> {
    let mut ids = CLIENTS.map(|(to, [alice, ..])| {
        let director = director(to, Method::Direct, 0);
        let sent = server(&director, &message(alice, to, &text)).is_some();
        let found = calls(&director);
        assert_eq!(found.len(), usize::from(sent));
        found.into_iter().next()
    });
    assert_eq!(ids[0], ids[1]);
    ids[0].take()
}

#[test]
fn a_call_id_is_found_as_the_kernel_finds_it() {
    let long = "a".repeat(255);
    let longer = "a".repeat(256);
    let far = format!("A: {}\r\nCall-ID: x@y\r\n", "b".repeat(1_300));
    let full = format!("A\r\nCall-ID: {long}\r\n");
    let fuller = format!("A\r\nCall-ID: {longer}\r\n");
    for (text, expected) in [
        ("SIP/2.0 200 OK\r\nCall-ID: x@y\r\n", Some("x@y")),
        ("OPTIONS sip:a SIP/2.0\r\nCall-ID: x@y\r\n", Some("x@y")),
        // The first line is not looked at, nor are the others.
        ("whatever\r\nCall-ID: x\r\n", Some("x")),
        ("A\r\nCSeq: 1 A\r\nCall-ID: x@y\r\n", Some("x@y")),
        (&far, Some("x@y")),
        (&full, Some(&*long)),
        (&fuller, None),
        // Case, the short form, and lines that end with CR or LF.
        ("A\r\ncall-id: x\r\n", Some("x")),
        ("A\r\nCALL-ID: x\r\n", Some("x")),
        ("A\r\ni: x\r\n", Some("x")),
        ("A\r\nI:x\r\n", Some("x")),
        ("A\nCall-ID: x\n", Some("x")),
        ("A\rCall-ID: x\r", Some("x")),
        ("A\r\nInfo: y\r\nCall-ID: x\r\n", Some("x")),
        ("A\r\nCall: y\r\nCall-ID: x\r\n", Some("x")),
        ("A\r\nCall\r\nCall-ID: x\r\n", Some("x")),
        // Space around the colon, and lines that go on.
        ("A\r\nCall-ID\t : \t x\r\n", Some("x")),
        ("A\r\nCall-ID\r\n : x\r\n", Some("x")),
        ("A\r\nCall-ID:\r\n x\r\n", Some("x")),
        ("A\r\nCall-ID:\n\tx\r\n", Some("x")),
        ("A\r\nCall-ID:\r\nx\r\n", None),
        ("A\r\nCall-ID\r\n:x\r\n", None),
        ("A\r\nCall-ID:\r\n \r\n x\r\n", None),
        (
            "A\r\nSubject: y\r\n Call-ID: z\r\nCall-ID: x\r\n",
            Some("x"),
        ),
        // What is no Call-ID, and what follows one.
        ("A\r\nCall-ID: x y\r\n", None),
        ("A\r\nCall-ID: x \r\n", None),
        ("A\r\nCall-ID: x", None),
        ("A\r\nCall-ID: x@\r\nCall-ID: z\r\n", Some("z")),
        ("A\r\nCall-ID: @x\r\ni: z\r\n", Some("z")),
        ("A\r\nCall-ID: x@y@z\r\n", None),
        ("A\r\nCall-ID:\r\n", None),
        ("A\r\nCall-ID-Of: x\r\nCall-ID: y\r\n", None),
        (
            "A\r\nCall-ID: a!b\"c%d'e(f)g*h+i-j.k/l:m<n>o?p[q\\r]s_t`u{v}w~x\r\n",
            Some("a!b\"c%d'e(f)g*h+i-j.k/l:m<n>o?p[q\\r]s_t`u{v}w~x"),
        ),
        ("A\r\nCall-ID: x;y\r\n", None),
        // Not in the first line, nor behind an empty line that ends with LF alone.
        ("Call-ID: x\r\n", None),
        ("A\n\nCall-ID: x\n", None),
        ("A\r\n\r\nCall-ID: x\r\n", Some("x")),
        ("", None),
        ("\r\n", None),
        ("\0\0\0\0", None),
        ("A\r\ni", None),
        ("A\r\nCall-ID", None),
        ("A\r\nCall-ID:", None),
    ] {
        assert_eq!(found(text).as_deref(), expected, "{text:?}");
    }
    assert_eq!(found([0xff; 1_400]), None);
}

/// One byte a turn: a message made to cost much has no Call-ID far behind.
#[test]
fn a_message_of_line_ends_is_not_read_to_its_end() {
    let text = |ends: usize| format!("{}A\r\nCall-ID: x\r\n", "\n".repeat(ends));
    assert_eq!(found(text(900)).as_deref(), Some("x"));
    assert_eq!(found(text(1_100)), None);
}

#[test]
fn what_follows_the_datagram_is_none_of_it() {
    let text = "A\r\nCall-ID: x";
    let mut frame = message("198.51.100.7:5060", V4, text).frame();
    frame.extend(b"\r\n\r\n");
    let (verdict, _) = director(V4, Method::Direct, 0).handle(&frame);
    assert_eq!(verdict.reason(), Some(Reason::NoCallId));
}

#[test]
fn other_protocols_have_no_call_id() {
    let director = with_protocol(Protocol::Tcp, V4, Method::Direct, 0);
    let syn = Draft::tcp("198.51.100.7:40000", V4, SYN);
    assert_eq!(server(&director, &syn), None);
}

#[test]
fn packets_of_a_known_connection_need_no_call_id() {
    for (to, [alice, ..]) in CLIENTS {
        let director = director(to, Method::Direct, 0);
        let first = server(&director, &message(alice, to, request("x")));
        assert_eq!(server(&director, &message(alice, to, "\r\n\r\n")), first);
        // Keep-alives of nobody's, though, are dropped.
        let director = self::director(to, Method::Direct, 0);
        assert_eq!(server(&director, &message(alice, to, "\r\n\r\n")), None);
    }
}

#[test]
fn a_call_is_assured_by_its_second_message() {
    for (to, [alice, _, carol]) in CLIENTS {
        for method in [Method::Direct, Method::Nat] {
            for second in [alice, carol] {
                let director = director(to, method, 0);
                let one = message(alice, to, request("x"));
                assert!(server(&director, &one).is_some());
                assert_eq!(director.assured_templates(), 0);
                server(&director, &message(second, to, request("x")));
                assert_eq!(director.assured_templates(), 1, "{second}");
            }
        }
    }
}

#[test]
fn a_call_ends_with_its_time() {
    for (to, [alice, _, carol]) in CLIENTS {
        let director = director(to, Method::Direct, Plan::ONE_PACKET);
        assert_eq!(
            server(&director, &message(alice, to, request("x"))),
            Some(0)
        );
        director.pass_time(50);
        assert_eq!(
            server(&director, &message(carol, to, request("x"))),
            Some(0)
        );
        director.pass_time(50);
        assert_eq!(
            server(&director, &message(carol, to, request("x"))),
            Some(0)
        );
        director.pass_time(80);
        assert_eq!(
            server(&director, &message(alice, to, request("x"))),
            Some(1)
        );
    }
}

#[test]
fn the_first_fragment_has_to_hold_the_call_id() {
    let text = format!("{}{}", request("x"), "body".repeat(200));
    let whole = message("198.51.100.7:5060", V4, text);
    let whole = whole.with(|draft| draft.dont_fragment = false);
    let piece = |from, bytes| {
        whole
            .clone()
            .with(|draft| draft.fragment = Some((from, bytes)))
    };
    let whole_call = director(V4, Method::Direct, 0);
    let first = server(&whole_call, &piece(0, 512));
    assert!(first.is_some());
    assert_eq!(server(&whole_call, &piece(512, 480)), first);
    let director = director(V4, Method::Direct, 0);
    assert_eq!(server(&director, &piece(0, 104)), None);
}
