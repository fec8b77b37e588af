//! Another table size without losing a connection, by the procedure of README.md.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lvs_api::model::{Family, Method};
use lvs_api::role::Role;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Pair, RealServer};

/// Requests over each connection; the number of answers.
fn answers(streams: &mut [TcpStream]) -> usize {
    let answer = |stream: &mut TcpStream| {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .ok()?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: www\r\n\r\n")
            .ok()?;
        let mut bytes = [0; 512];
        stream.read(&mut bytes).ok().filter(|length| *length > 0)
    };
    streams.iter_mut().filter_map(answer).count()
}

#[test]
fn both_directors_get_a_larger_table_and_no_connection_is_lost() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    pair.start_linked_with(1, Role::Master, &every_service(), &["--table4=4096"])
        .unwrap();
    pair.start_linked_with(2, Role::Backup, &every_service(), &["--table4=4096"])
        .unwrap();
    two.lvsadm("sync wait --timeout 20s").unwrap();
    let mut streams = Vec::new();
    for method in [Method::Direct, Method::Nat, Method::Tunnel] {
        let address = SocketAddr::new(virtual_address(Family::Ipv4, method), RealServer::PORT);
        let connect = || (0..20).map(|_| TcpStream::connect(address).unwrap());
        let some: Vec<_> = pair
            .client
            .namespace()
            .enter(|| connect().collect())
            .unwrap();
        streams.extend(some);
    }
    assert_eq!(answers(&mut streams), 60);

    let new = ["--table4=16384", "--reset"];
    // The backup, then the one that was master until then.
    for (number, master) in [(2, one), (1, two)] {
        let backup = pair.director(number);
        backup.stop().unwrap();
        pair.start_linked_with(number, Role::Backup, &every_service(), &new)
            .unwrap();
        backup.lvsadm("sync wait --timeout 20s").unwrap();
        // What the tables hold is seen at once.
        let status = backup.lvsadm("--status").unwrap();
        assert!(!status.contains(" 0 of 16384 "), "{status}");
        assert_eq!(answers(&mut streams), 60);
        if number == 2 {
            master.lvsadm("handover --timeout 20s").unwrap();
            assert_eq!(backup.lvsadm("role").unwrap(), "master\n");
            assert_eq!(answers(&mut streams), 60);
        }
    }
    two.lvsadm("handover --timeout 20s").unwrap();
    assert_eq!(one.lvsadm("role").unwrap(), "master\n");
    assert_eq!(answers(&mut streams), 60);
    for director in [one, two] {
        let listing = director.lvsadm("-Ln").unwrap();
        assert!(listing.contains("(size=16384)"), "{listing}");
    }
}
