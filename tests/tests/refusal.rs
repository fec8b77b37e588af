//! Connections, commands and configurations that are refused: at once, with a reason, without effect.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_api::model::Protocol;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, virtual_address};
use lvs_tests::lab::director::{built, every_service, service_name};
use lvs_tests::lab::{Arms, Lab, available};

#[test]
fn a_service_without_servers_refuses_connections_at_once() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    for family in FAMILIES {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let service = service_name(protocol, family, Direct);
            lab.director.lvsadm(&format!("-A {service}")).unwrap();
        }
        let address = virtual_address(family, Direct);
        let start = Instant::now();
        let tcp = format!("{:#}", lab.client.get(address).unwrap_err());
        assert!(
            tcp.contains("Connection refused") || tcp.contains("Couldn't connect"),
            "{tcp}"
        );
        let udp = format!(
            "{:#}",
            lab.client.ask((address, 80).into(), "hello").unwrap_err()
        );
        assert!(udp.contains("Connection refused"), "{udp}");
        // curl would try for five seconds. (An answer that comes while the client's kernel is still
        // sending does not end its attempt, only the next one, after a second: here answers are quick.)
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn the_address_of_a_refused_real_server_is_not_asked_for_any_more() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let line = "-a -t 10.1.0.200:80 -r 10.2.0.250:80 -m";
    lab.director.lvsadm(line).unwrap_err();
    let status = lab.director.lvsadm("--status").unwrap();
    assert!(!status.contains("10.2.0.250"), "{status}");
}

#[test]
fn a_bad_command_line_changes_nothing_and_explains_itself() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let before = lab.director.lvsadm("-Sn").unwrap();
    for line in [
        "-A",
        "-A -t nonsense",
        "-A -t 10.1.0.101:80 -s rr",
        "-A -t 10.1.0.200:80 -s nosuchscheduler",
        "-A -t 10.1.0.200:99999",
        "-E -t 10.1.0.200:80 -s rr",
        "-D -t 10.1.0.200:80",
        "-a -t 10.1.0.200:80 -r 10.2.0.11:80",
        "-a -t 10.1.0.101:80 -r 10.2.0.11:80 -g",
        "-a -t 10.1.0.101:80",
        "-a -t 10.1.0.101:80 -r 10.2.0.99:80 -w many",
        "-e -t 10.1.0.101:80 -r 10.2.0.99:80 -w 1",
        "-d -t 10.1.0.101:80 -r 10.2.0.99:80",
        "-A -D -t 10.1.0.200:80",
        "--nosuchoption",
    ] {
        let output = lab.director.try_lvsadm(line).unwrap();
        assert!(!output.status.success(), "`lvsadm {line}` succeeded");
        assert!(
            !output.stderr.is_empty(),
            "`lvsadm {line}` does not say what is wrong"
        );
        assert_eq!(
            lab.director.lvsadm("-Sn").unwrap(),
            before,
            "after `lvsadm {line}`"
        );
    }
}

#[test]
fn an_address_that_stands_for_many_hosts_is_no_real_server() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let service = service_name(Protocol::Tcp, Ipv4, Direct);
    lab.director.lvsadm(&format!("-A {service}")).unwrap();
    // The third is the broadcast address of the real servers' network.
    for address in [
        "255.255.255.255",
        "224.0.0.1",
        "10.2.0.255",
        "0.0.0.0",
        "0.1.2.3",
    ] {
        let line = format!("-a {service} -r {address}:80");
        let output = lab.director.try_lvsadm(&line).unwrap();
        assert_eq!(output.status.code(), Some(255), "{line}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "Invalid operation.  Possibly wrong module version, address not unicast, ...\n",
            "{line}"
        );
    }
    assert!(!lab.director.lvsadm("-Sn").unwrap().contains("-a "));
    // A route that prohibits is refused in the kernel's same words, and is no such address.
    let director = lab.director.namespace();
    director.ip("route add prohibit 10.7.0.0/16\n").unwrap();
    let line = format!("-a {service} -r 10.7.0.255:80");
    lab.director.lvsadm(&line).unwrap();
}

#[test]
fn another_port_of_the_director_itself_is_refused_with_a_reason() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let service = service_name(Protocol::Tcp, Ipv4, Nat);
    let own = virtual_address(Ipv4, Nat);
    lab.director.lvsadm(&format!("-A {service}")).unwrap();
    let line = format!("-a {service} -r {own}:8080 -m");
    let output = lab.director.try_lvsadm(&line).unwrap();
    assert_eq!(output.status.code(), Some(255));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("director itself"), "{said}");
    // The same port, and another port of another machine.
    lab.director
        .lvsadm(&format!("-a {service} -r {own}:80 -m"))
        .unwrap();
    lab.director
        .lvsadm(&format!("-a {service} -r 10.2.0.11:8080 -m"))
        .unwrap();
    // One that becomes the director's own afterwards is named.
    lab.director
        .lvsadm(&format!("-a {service} -r 10.2.0.77:8080 -m"))
        .unwrap();
    let added = "addr add 10.2.0.77/32 dev lo\n";
    lab.director.namespace().ip(added).unwrap();
    let warning = "real server 10.2.0.77:8080 of";
    assert!(
        eventually(Duration::from_secs(10), || {
            fs::read_to_string(lab.director.log()).is_ok_and(|log| log.contains(warning))
        }),
        "{}",
        lab.director.log_tail()
    );
}

#[test]
fn an_invalid_configuration_starts_no_daemon_and_changes_no_table() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let before = lab.director.lvsadm("-Sn").unwrap();
    lab.director.kill();
    let file = lab.folder().join("bad.conf");
    let service = service_name(Protocol::Tcp, Ipv4, Direct);
    fs::write(
        &file,
        format!("-A {service} -s rr\n-a {service} -r nonsense -g\n"),
    )
    .unwrap();
    let mut command = lab.director.command(&["--config", &file.to_string_lossy()]);
    command.stdin(Stdio::null());
    let output = lab.director.namespace().output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("bad.conf") && said.contains('2'),
        "names neither file nor line: {said}"
    );
    assert_eq!(
        lab.client
            .get_many(virtual_address(Ipv4, Direct), 6)
            .unwrap()
            .len(),
        6
    );
    lab.director.start().unwrap();
    assert_eq!(lab.director.lvsadm("-Sn").unwrap(), before);
}

#[test]
fn a_second_daemon_does_not_take_the_first_ones_socket() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let director = &lab.director;
    let before = director.lvsadm("-Sn").unwrap();
    let other = director.pins().join("other");
    let mut second = Command::new(built("lvsd").unwrap());
    second.arg("--bpffs").arg(&other);
    second.arg("--socket").arg(director.socket());
    let output = director.namespace().output(&mut second).unwrap();
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another lvsd (process "), "{said}");
    assert!(said.contains("--socket"), "{said}");
    assert!(!other.exists(), "it left {}", other.display());
    assert_eq!(director.lvsadm("-Sn").unwrap(), before);
}

#[test]
fn of_two_daemons_that_start_at_once_one_has_the_socket() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let director = &lab.director;
    let lvsd = built("lvsd").unwrap();
    // A folder that is to be made, and that only root may look into.
    let folder = lab.folder().join("private");
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let socket = folder.join("run/lvsd.sock");
    for round in 0..3 {
        let mut starts: Vec<_> = ["a", "b"]
            .map(|name| {
                let mut command = Command::new(&lvsd);
                command.arg("--bpffs").arg(director.pins().join(name));
                command.arg("--socket").arg(&socket);
                command.stdin(Stdio::null()).stderr(Stdio::piped());
                director.namespace().spawn(&mut command).unwrap()
            })
            .into();
        let pids: Vec<_> = starts.iter().map(std::process::Child::id).collect();
        let limit = Instant::now() + Duration::from_secs(30);
        let lost = loop {
            let ended = |start: &mut std::process::Child| start.try_wait().unwrap().is_some();
            if let Some(at) = starts.iter_mut().position(ended) {
                break at;
            }
            assert!(Instant::now() < limit, "both run");
            std::thread::sleep(Duration::from_millis(20));
        };
        let refused = starts.remove(lost).wait_with_output().unwrap();
        let mut winner = starts.remove(0);
        let said = String::from_utf8_lossy(&refused.stderr);
        let holder = format!("another lvsd (process {})", pids[1 - lost]);
        assert!(
            !refused.status.success() && said.contains(&holder),
            "{said}"
        );
        let listens = eventually(Duration::from_secs(30), || {
            UnixStream::connect(&socket).is_ok()
        });
        // Its lock ends with it.
        winner.kill().unwrap();
        winner.wait().unwrap();
        assert!(listens, "round {round}");
    }
}
