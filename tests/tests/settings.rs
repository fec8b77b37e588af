//! The settings of `net.ipv4.vs`, as `lvsadm --sysctl` sets them while connections live.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Direct;
use lvs_api::model::Protocol;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::director::{server_name, service_name};
use lvs_tests::lab::traffic::Idle;
use lvs_tests::lab::{Arms, Lab};
use socket2::{Domain, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(20);

fn service() -> String {
    service_name(Protocol::Tcp, Ipv4, Direct)
}

/// A director whose service has the first servers.
fn lab(options: &str, servers: u8) -> Option<Lab> {
    let service = service();
    let mut lines = format!("-A {service} -s rr{options}\n");
    for number in 1..=servers {
        let server = server_name(Ipv4, number);
        lines.extend(["-a ", &service, " ", &server, " -g\n"]);
    }
    Lab::for_story(Arms::One, &lines)
}

fn set(lab: &Lab, setting: &str) {
    lab.director.lvsadm(&format!("--sysctl {setting}")).unwrap();
}

fn open(lab: &Lab) -> Idle {
    Idle::open(lab.client.namespace(), virtual_address(Ipv4, Direct), 1).unwrap()
}

/// A column of the service's line of a listing.
fn of_service(lab: &Lab, listing: &str, column: usize) -> u64 {
    let listing = lab.director.lvsadm(listing).unwrap();
    let line = listing.lines().find(|line| line.starts_with("TCP"));
    let word = line.and_then(|line| line.split_whitespace().nth(column));
    word.unwrap().parse().unwrap()
}

fn connections(lab: &Lab) -> u64 {
    of_service(lab, "-Ln --stats --exact", 2)
}

#[test]
fn a_connection_that_the_table_lost_goes_on_with_sloppy_tcp() {
    let Some(lab) = lab("", 1) else {
        return;
    };
    for goes_on in [false, true, false] {
        set(&lab, &format!("sloppy_tcp={}", u8::from(goes_on)));
        let mut idle = open(&lab);
        lab.director.lvsadm("connections drop --all").unwrap();
        assert_eq!(idle.speak().is_empty(), goes_on);
    }
}

/// Connects from a port, and ends it with a reset.
fn connect_and_reset(lab: &Lab, port: u16) {
    let to = SocketAddr::new(virtual_address(Ipv4, Direct), 80);
    let connect = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let own = SocketAddr::from(([0, 0, 0, 0], port));
        socket.bind(&own.into()).unwrap();
        socket.connect_timeout(&to.into(), PATIENCE).unwrap();
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(TcpStream::from(socket));
    };
    lab.client.namespace().enter(connect).unwrap();
}

#[test]
fn a_port_that_is_used_again_is_scheduled_anew_unless_conn_reuse_mode_is_0() {
    let Some(lab) = lab("", 3) else {
        return;
    };
    let ended = || {
        let listing = lab.director.lvsadm("-Lcn").unwrap();
        listing.lines().any(|line| line.contains(" CLOSE "))
    };
    for (mode, expected) in [(1, 2), (0, 1), (1, 2)] {
        set(&lab, &format!("conn_reuse_mode={mode}"));
        lab.director.lvsadm("connections drop --all").unwrap();
        let before = connections(&lab);
        for _ in 0..2 {
            connect_and_reset(&lab, 45_000);
            assert!(eventually(PATIENCE, ended), "no reset was seen");
        }
        assert_eq!(connections(&lab) - before, expected, "mode {mode}");
    }
}

#[test]
fn a_deleted_servers_connection_is_reset_with_expire_nodest_conn_and_waits_without() {
    let Some(lab) = lab("", 1) else {
        return;
    };
    let (service, server) = (service(), server_name(Ipv4, 1));
    let delete = format!("-d {service} {server}");
    let add = format!("-a {service} {server} -g");
    let lvsadm = |line: &str| lab.director.lvsadm(line).unwrap();
    let reset = |idle: &mut Idle| {
        let lost = idle.speak();
        assert!(lost.concat().contains("reset"), "{lost:?}");
    };

    // What comes meanwhile is dropped, and comes again.
    let mut idle = open(&lab);
    lvsadm(&delete);
    let lost = thread::scope(|scope| {
        let speaking = scope.spawn(|| idle.speak());
        let dropped = || lvsadm("--verdicts").contains("drop-server-deleted");
        assert!(eventually(PATIENCE, dropped), "nothing was dropped");
        lvsadm(&add);
        speaking.join().unwrap()
    });
    assert_eq!(lost, [""; 0]);

    // A server that was deleted before it was set.
    lvsadm(&delete);
    set(&lab, "expire_nodest_conn=1");
    reset(&mut idle);
    lvsadm(&add);
    let mut idle = open(&lab);
    lvsadm(&delete);
    reset(&mut idle);
}

#[test]
fn a_client_leaves_a_quiesced_server_with_expire_quiescent_template() {
    let Some(lab) = lab(" -p 300", 2) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let mut idle = open(&lab);
    let first = lab.client.get(address).unwrap();
    let number = first.trim_start_matches("server").parse().unwrap();
    let quiesced = format!("-e {} {} -g -w 0", service(), server_name(Ipv4, number));
    lab.director.lvsadm(&quiesced).unwrap();
    assert_eq!(lab.client.get(address).unwrap(), first);
    set(&lab, "expire_quiescent_template=1");
    let second = lab.client.get(address).unwrap();
    assert_ne!(second, first);
    assert!(idle.speak().is_empty(), "its connections go on");
    // The template of the second server now, which is quiesced while the setting is in force.
    let number = second.trim_start_matches("server").parse().unwrap();
    let other = format!("-e {} {} -g -w 0", service(), server_name(Ipv4, number));
    let back = quiesced.replace("-w 0", "-w 1");
    lab.director.lvsadm(&back).unwrap();
    lab.director.lvsadm(&other).unwrap();
    assert_eq!(lab.client.get(address).unwrap(), first);
    set(&lab, "expire_quiescent_template=0");
    lab.director.lvsadm(&quiesced).unwrap();
    assert_eq!(lab.client.get(address).unwrap(), first);
}

#[test]
fn rates_stay_as_they_are_without_run_estimation_and_counters_count() {
    let Some(lab) = lab("", 1) else {
        return;
    };
    let rate = || of_service(&lab, "-Ln --rate --exact", 3);
    let get = |count| {
        let address = virtual_address(Ipv4, Direct);
        lab.client.get_many(address, count).unwrap()
    };
    get(100);
    assert!(eventually(PATIENCE, || rate() > 0), "no rate");
    set(&lab, "run_estimation=0");
    let (stopped, counted) = (rate(), connections(&lab));
    get(100);
    assert_eq!(connections(&lab) - counted, 100);
    // Two samples would have changed it.
    let changes = eventually(Duration::from_secs(5), || rate() != stopped);
    assert!(!changes, "{stopped} became {}", rate());
    set(&lab, "run_estimation=1");
    assert!(eventually(PATIENCE, || rate() < stopped), "{stopped}");
}

#[test]
fn settings_of_the_command_line_are_in_force_from_the_start() {
    let Some(lab) = lab("", 1) else {
        return;
    };
    lab.director.stop().unwrap();
    let options = ["--sysctl", "sloppy_tcp=1", "--sysctl=conn_reuse_mode=0"];
    lab.director.start_with(&options).unwrap();
    let shown = lab.director.lvsadm("--sysctl").unwrap();
    assert!(
        shown.contains("net.ipv4.vs.conn_reuse_mode = 0\n"),
        "{shown}"
    );
    let mut idle = open(&lab);
    lab.director.lvsadm("connections drop --all").unwrap();
    assert!(idle.speak().is_empty());
}
