//! The control socket: its clients, and outputs that nobody reads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use lvs_tests::eventually;
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Arms, Lab, available};

const PATIENCE: Duration = Duration::from_secs(30);

/// More clients than lvsd has at once.
const MANY: usize = 600;

#[test]
fn idle_and_stalled_clients_lock_nobody_out() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let mut clients = Vec::new();
    for number in 0..MANY {
        let mut client = UnixStream::connect(lab.director.socket()).unwrap();
        let request: &[u8] = match number % 3 {
            0 => b"",
            // Its body never comes.
            1 => b"POST /v1/edits HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
            // It does not read, and asks for more than the socket holds.
            _ => &b"GET /v1/verdicts HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50),
        };
        // The first ones may be disconnected already.
        let _ = client.write_all(request);
        clients.push(client);
        if number % 100 == 99 {
            assert!(
                lab.director
                    .lvsadm("-Ln")
                    .unwrap()
                    .contains("10.1.0.101:80")
            );
        }
    }
    // So many of them are kept at most.
    let connected = || {
        let is_connected = |client: &mut UnixStream| {
            client.set_nonblocking(true).unwrap();
            let mut bytes = [0; 1 << 12];
            loop {
                match client.read(&mut bytes) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
        };
        clients
            .iter_mut()
            .filter_map(|client| is_connected(client).then_some(()))
            .count()
    };
    let mut connected = connected;
    assert!(
        eventually(PATIENCE, || connected() <= 256),
        "{}",
        connected()
    );
    assert!(
        lab.director
            .lvsadm("-Ln")
            .unwrap()
            .contains("10.1.0.101:80")
    );
}

#[test]
fn events_end_with_their_reader() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let mut follower = Command::new(lab.director.lvsadm_program())
        .arg("--socket")
        .arg(lab.director.socket())
        .arg("events")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nothing happens: it has nothing to write.
    drop(follower.stdout.take());
    let ended = eventually(PATIENCE, || follower.try_wait().unwrap().is_some());
    let _ = follower.kill();
    let output = follower.wait_with_output().unwrap();
    assert!(ended, "it goes on");
    assert_eq!(
        (output.status.code(), &*output.stderr),
        (Some(141), &b""[..])
    );
}

#[test]
fn a_daemon_whose_log_nobody_reads_goes_on() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let mut command = lab.director.command(&["--log-level", "debug"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut daemon = lab.director.namespace().spawn(&mut command).unwrap();
    drop(daemon.stderr.take());
    let lists = || lab.director.lvsadm("-Ln").is_ok();
    assert!(eventually(PATIENCE, lists));
    for number in 1..20 {
        // Each is a line of the log.
        lab.director
            .lvsadm(&format!("-A -t 10.1.0.200:{number}"))
            .unwrap();
    }
    assert_eq!(daemon.try_wait().unwrap(), None);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn what_lvsd_prints_ends_quietly_with_its_reader() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let file = lab.folder().join("many.cf");
    let service = |number| format!("virtual = 10.1.0.200:{number}\n\treal = 10.2.0.11:80 masq\n");
    // More than a pipe holds.
    std::fs::write(&file, (1..2000).map(service).collect::<String>()).unwrap();
    let file = file.to_string_lossy();
    for options in [&["--verify"][..], &["check", &file]] {
        let mut command = Command::new(lvs_tests::lab::director::built("lvsd").unwrap());
        command.args(options).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut lvsd = command.spawn().unwrap();
        drop(lvsd.stdout.take());
        let output = lvsd.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !said.contains("panicked") && !said.contains("pipe"),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(141), "{options:?}: {said}");
    }
}
