//! Data connections of passive FTP by direct routing: the template of port 21 is for every port.

use lvs_common::abi::{Method, Pick, Plan};
use lvs_common::connection::Protocol;
use lvs_common::verdict::Reason;

use super::frames::{Draft, SYN, at};
use super::memory::Director;

const CONTROL: &str = "192.0.2.1:21";
const DATA: &str = "192.0.2.1:30001";

/// Three servers in turn, clients kept for a minute.
fn director(flags: u8) -> Director {
    let mut director = Director::new();
    let service = director.serve(Protocol::Tcp, at(CONTROL), Pick::Rotate);
    for server in ["10.0.0.1:21", "10.0.0.2:21", "10.0.0.3:21"] {
        director.add(service, at(server), Method::Direct, 1);
    }
    director.edit(service, |plan, _| {
        plan.persistence = 60;
        plan.prefix = 32;
        plan.flags |= flags;
    });
    director.config.ftp_services = 1;
    director
}

/// The server that a packet goes to.
fn server(director: &Director, from: &str, to: &str) -> Option<u32> {
    let counted = |server| director.stats(server).in_packets;
    let before = [0, 1, 2].map(counted);
    director.handle(&Draft::tcp(from, to, SYN).frame());
    (0..3).find(|&server| counted(server) != before[server as usize])
}

#[test]
fn data_connections_go_to_the_control_connections_server() {
    let director = director(Plan::FTP);
    for client in [
        "198.51.100.7",
        "198.51.100.8",
        "198.51.100.9",
        "198.51.100.10",
    ] {
        let control = server(&director, &format!("{client}:40000"), CONTROL);
        assert!(control.is_some());
        for (from, to) in [
            (40_001, 30_001),
            (40_002, 65_535),
            (40_003, 1024),
            (40_004, 20),
        ] {
            let to = format!("192.0.2.1:{to}");
            assert_eq!(
                server(&director, &format!("{client}:{from}"), &to),
                control,
                "{to}"
            );
        }
    }
    // A data connection before its control connection makes the template, as `ip_vs_sched_persist` does.
    let data = server(&director, "198.51.100.77:40000", DATA);
    assert!(data.is_some());
    assert_eq!(server(&director, "198.51.100.77:40001", CONTROL), data);
    assert_eq!(server(&director, "198.51.100.77:40002", CONTROL), data);
}

#[test]
fn other_packets_to_the_address_are_the_kernels() {
    let with = director(Plan::FTP);
    let without = director(0);
    let privileged = Draft::tcp("198.51.100.7:40000", "192.0.2.1:22", SYN);
    let udp = Draft::udp("198.51.100.7:40000", DATA);
    let data = Draft::tcp("198.51.100.7:40000", DATA, SYN);
    for (director, draft) in [(&with, &privileged), (&with, &udp), (&without, &data)] {
        let (verdict, _) = director.handle(&draft.frame());
        assert_eq!(verdict.reason(), Some(Reason::NoService), "{draft:?}");
    }
    // `ip_vs_leave`: no server for what was only perhaps FTP's is no reason to refuse it.
    let mut empty = director(Plan::FTP);
    empty.edit(0, |_, members| members.clear());
    let (verdict, _) = empty.handle(&data.frame());
    assert_eq!(verdict.reason(), Some(Reason::NoService));
    let control = Draft::tcp("198.51.100.7:40000", CONTROL, SYN);
    let (verdict, _) = empty.handle(&control.frame());
    assert_eq!(verdict.reason(), Some(Reason::NoServer));
}
