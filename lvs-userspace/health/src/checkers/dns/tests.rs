use std::net::SocketAddr;
use std::time::Duration;

use domain::base::message_builder::AnswerBuilder;
use domain::base::record::Ttl;
use domain::rdata::{A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Srv, Txt};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::*;
use crate::check::{Check, Kind};
use crate::prober::Prober;
use crate::testing::{assert_gives_up, assert_says, check, negotiate, serve};

fn name(text: &str) -> Name<Vec<u8>> {
    Name::vec_from_str(text).unwrap()
}

fn push<D>(reply: &mut AnswerBuilder<Vec<u8>>, data: D)
where
    D: domain::base::rdata::ComposeRecordData,
{
    let owner = Name::vec_from_str("www.example").unwrap();
    reply.push((owner, Ttl::from_secs(60), data)).unwrap();
}

/// A zone with one record of each kind, and many of A; refuses other names.
fn respond(query: &[u8], tcp: bool) -> Vec<u8> {
    let query = Message::from_octets(query).unwrap();
    let question = query.sole_question().unwrap();
    let owner = question.qname().to_string();
    let reply = MessageBuilder::new_vec();
    if owner == "nobody.example" {
        return reply
            .start_answer(&query, Rcode::NXDOMAIN)
            .unwrap()
            .finish();
    }
    let mut reply = reply.start_answer(&query, Rcode::NOERROR).unwrap();
    if owner == "long.example" && !tcp {
        reply.header_mut().set_tc(true);
        return reply.finish();
    }
    match question.qtype() {
        Rtype::A => {
            push(&mut reply, Cname::new(name("real.example")));
            for last in 1..=5 {
                push(&mut reply, A::from_octets(192, 0, 2, last));
            }
        }
        Rtype::AAAA => push(&mut reply, Aaaa::new("2001:db8::1".parse().unwrap())),
        Rtype::CNAME => push(&mut reply, Cname::new(name("real.example"))),
        Rtype::PTR => push(&mut reply, Ptr::new(name("www.example"))),
        Rtype::MX => push(&mut reply, Mx::new(10, name("mail.example"))),
        Rtype::NS => push(&mut reply, Ns::new(name("ns.example"))),
        Rtype::SRV => push(&mut reply, Srv::new(1, 2, 3, name("srv.example"))),
        Rtype::TXT => push(
            &mut reply,
            Txt::<Vec<u8>>::build_from_slice(b"v=spf1 \"-all\"").unwrap(),
        ),
        Rtype::SOA => push(
            &mut reply,
            Soa::new(
                name("ns.example"),
                name("admin.example"),
                7.into(),
                Ttl::from_secs(1),
                Ttl::from_secs(2),
                Ttl::from_secs(3),
                Ttl::from_secs(4),
            ),
        ),
        _ => {}
    }
    reply.finish()
}

/// A server on the same port of UDP and TCP.
async fn server() -> SocketAddr {
    let address = serve(|mut stream| async move {
        let length = stream.read_u16().await.unwrap();
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.unwrap();
        let reply = respond(&query, true);
        let length = u16::try_from(reply.len()).unwrap();
        let reply = [&length.to_be_bytes(), reply.as_slice()].concat();
        stream.write_all(&reply).await.unwrap();
    })
    .await;
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut query = [0; 2000];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            // An answer to another question, and garbage, come first.
            let mut other = respond(&query[..length], false);
            other[0] ^= 0xff;
            socket.send_to(&other, from).await.ok();
            socket.send_to(b"garbage", from).await.ok();
            let reply = respond(&query[..length], false);
            socket.send_to(&reply, from).await.ok();
        }
    });
    address
}

fn asking(name: &str, record: &str, receive: Option<&str>, tcp: bool) -> Dns {
    Dns {
        name: name.to_owned(),
        record: record.to_owned(),
        receive: receive.map(|text| Pattern::compile(text, false).unwrap()),
        tcp,
    }
}

#[tokio::test]
async fn every_kind_of_record_can_be_asked_for() {
    let server = server().await;
    for tcp in [false, true] {
        for (record, pattern, shown) in [
            (
                "A",
                "^192\\.0\\.2\\.5$",
                "\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\" and 2 more",
            ),
            ("AAAA", "^2001:db8::1$", "\"2001:db8::1\""),
            ("CNAME", "^real\\.example$", "\"real.example\""),
            ("PTR", "^www\\.example", "\"www.example\""),
            ("MX", "^10 mail\\.example", "\"10 mail.example\""),
            ("NS", "^ns\\.example", "\"ns.example\""),
            ("SRV", "^1 2 3 srv\\.example", "\"1 2 3 srv.example\""),
            ("TXT", "^v=spf1 \"-all\"$", "\"v=spf1 \"-all\"\""),
            (
                "SOA",
                "^ns\\.example\\. admin\\.example\\. 7 ",
                "\"ns.example. admin.example. 7 1 2 3 4\"",
            ),
        ] {
            let service = asking("www.example", record, Some(pattern), tcp);
            let outcome = negotiate(service, server).await;
            assert_says(&outcome, true, &format!("{shown} from {server} after N ms"));
        }
    }
}

#[tokio::test]
async fn without_a_pattern_there_has_to_be_a_record() {
    let server = server().await;
    let outcome = negotiate(asking("www.example", "AAAA", None, false), server).await;
    assert!(outcome.good, "{}", outcome.text);
    let outcome = negotiate(asking("www.example", "NAPTR", None, false), server).await;
    let text = format!("no NAPTR records from {server} after N ms, expected NAPTR records");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn what_does_not_match_is_told() {
    let server = server().await;
    let service = asking("www.example", "AAAA", Some("^10\\."), false);
    let outcome = negotiate(service, server).await;
    let text = format!("\"2001:db8::1\" from {server} after N ms, expected \"^10\\.\"");
    assert_says(&outcome, false, &text);
    let outcome = negotiate(asking("nobody.example", "A", None, false), server).await;
    let text = format!("NXDOMAIN from {server} after N ms, expected A records");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn an_address_is_asked_for_in_reverse() {
    let server = server().await;
    for address in ["192.0.2.1", "[2001:db8::1]", "2001:db8::1"] {
        let service = asking(address, "A", Some("www\\.example"), false);
        let outcome = negotiate(service, server).await;
        assert!(outcome.good, "{}", outcome.text);
    }
    let (name, record) = asked("192.0.2.1", "A").unwrap();
    assert_eq!(
        (name.to_string(), record),
        ("1.2.0.192.in-addr.arpa".into(), Rtype::PTR)
    );
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_asked_for_over_tcp() {
    let server = server().await;
    let outcome = negotiate(asking("long.example", "MX", None, false), server).await;
    assert_says(
        &outcome,
        true,
        &format!("\"10 mail.example\" from {server} after N ms"),
    );
}

#[tokio::test]
async fn a_lost_question_is_asked_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 2000];
        socket.recv_from(&mut query).await.unwrap();
        let (length, from) = socket.recv_from(&mut query).await.unwrap();
        let reply = respond(&query[..length], false);
        socket.send_to(&reply, from).await.unwrap();
    });
    let asked = asking("www.example", "A", None, false);
    let check = Check {
        timeout: Duration::from_secs(3),
        ..check(Kind::Negotiate(asked.into()), server)
    };
    let outcome = Prober::default().run(&check).await;
    assert!(outcome.good, "{}", outcome.text);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    assert_gives_up(
        asking("www.example", "A", None, false),
        server,
        "answer from",
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_told() {
    let server = "127.0.0.1:53".parse().unwrap();
    let outcome = negotiate(asking("a..b", "A", None, false), server).await;
    assert!(
        outcome
            .text
            .starts_with("127.0.0.1:53 not probed: \"a..b\" is no name")
    );
    let outcome = negotiate(asking("a.b", "BOGUS", None, false), server).await;
    let text = "127.0.0.1:53 not probed: \"BOGUS\" is no record type";
    assert_eq!(outcome.text, text);
}

proptest! {
    #[test]
    fn no_answer_does_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..200,
        changes in prop::collection::vec((0_usize..200, any::<u8>()), 0..5),
    ) {
        let query = query(&name("www.example"), Rtype::ANY).unwrap();
        let judge_any = |bytes: Vec<u8>| {
            if let Ok(message) = Message::from_octets(bytes.clone()) {
                judge(&message, Rtype::ANY, None).ok();
            }
            answer_to(&query, bytes);
        };
        judge_any(bytes);
        for record in [Rtype::A, Rtype::SOA, Rtype::TXT, Rtype::SRV] {
            let asked = super::query(&name("www.example"), record).unwrap();
            let mut reply = respond(asked.as_slice(), false);
            for (at, byte) in &changes {
                let length = reply.len();
                reply[at % length] = *byte;
            }
            reply.truncate(reply.len().saturating_sub(cut % 60));
            judge_any(reply);
        }
    }
}
