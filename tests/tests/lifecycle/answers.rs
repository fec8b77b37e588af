//! Commands end by themselves and tell the truth: about a daemon that hangs, a disk that keeps nothing, a start that
//! fails.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Direct;
use lvs_api::model::Protocol::Udp;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::director::service;
use lvs_tests::lab::{Arms, Lab};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon_lab::{DaemonLab, PATIENCE, text};

#[test]
fn a_daemon_that_is_stopped_is_reported_in_time() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.freeze(true).unwrap();
    let start = Instant::now();
    for line in [
        "-Ln",
        "role",
        "events",
        "-A -t 10.1.0.200:80",
        // A daemon that works has minutes for these.
        "role backup",
        "handover",
        "trace tcp",
        "connections drop --client 10.9.0.0/16",
    ] {
        let output = lab.director.try_lvsadm(&format!("--timeout 500ms {line}"));
        let output = output.unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        assert!(said.contains("lvsd does not answer at"), "{line}: {said}");
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    lab.director.freeze(false).unwrap();
    lab.director.lvsadm("-Ln").unwrap();
}

#[test]
fn a_reload_of_a_daemon_that_is_stopped_fails() {
    let Some(lab) = DaemonLab::new("") else {
        return;
    };
    lab.does("start");
    let pid = Pid::from_raw(lab.pid().parse().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let output = lab.lvsd("reload");
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("lvsd does not answer at"), "{said}");
    lab.does("reload");
    lab.does("stop");
}

#[test]
fn clients_that_do_not_read_hold_up_nobody() {
    // More than a pool of threads has.
    const READERS: usize = 520;
    // More than the buffers on the way hold.
    const CONNECTIONS: u16 = 20_000;
    let Some(lab) = Lab::for_story(Arms::Two, &service(Udp, Ipv4, Direct, "rr")) else {
        return;
    };
    let to = SocketAddr::new(virtual_address(Ipv4, Direct), 80);
    let send = || {
        for port in 0..CONNECTIONS {
            let socket = UdpSocket::bind(("0.0.0.0", 10_000 + port)).unwrap();
            socket.send_to(b"hello", to).unwrap();
        }
    };
    lab.client.namespace().enter(send).unwrap();
    let listed = lab.director.lvsadm("-Lcn").unwrap().lines().count();
    assert!(listed > usize::from(CONNECTIONS) / 2, "{listed} listed");

    let stall = |_| {
        let mut reader = UnixStream::connect(lab.director.socket()).unwrap();
        reader
            .write_all(b"GET /v1/connections HTTP/1.1\r\nHost: lvsd\r\n\r\n")
            .unwrap();
        reader
    };
    let readers: Vec<_> = (0..READERS).map(stall).collect();
    for _ in 0..3 {
        lab.director.lvsadm("--timeout 20 -Ln").unwrap();
    }
    drop(readers);
}

/// A file system whose server never answers: whoever looks at a file of it waits.
struct DeadFileSystem {
    folder: PathBuf,
    device: Option<File>,
}

impl DeadFileSystem {
    fn mount(folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let flags = MsFlags::empty();
        mount(
            Some("dead"),
            &folder,
            Some("fuse"),
            flags,
            Some(options.as_str()),
        )
        .unwrap();
        Self {
            folder,
            device: Some(device),
        }
    }
}

impl Drop for DeadFileSystem {
    fn drop(&mut self) {
        // Whoever waits gets an error.
        self.device = None;
        let _ = umount2(&self.folder, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_file_system_that_does_not_answer_blocks_neither_commands_nor_the_end() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.stop().unwrap();
    let file = lab.folder().join("www.rules");
    fs::write(&file, "-A -t 10.1.0.200:80\n").unwrap();
    let config = ["--config", &file.to_string_lossy()];
    lab.director.start_with(&config).unwrap();

    let dead = DeadFileSystem::mount(lab.folder().join("dead"));
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(dead.folder.join("www.rules"), &file).unwrap();
    let mut reload = Command::new("curl");
    let mut reload = reload
        .args(["--silent", "--max-time", "60", "--request", "POST"])
        .arg("--unix-socket")
        .arg(lab.director.socket())
        .arg("http://lvsd/v1/reload")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let reading = format!("reading {}", file.display());
    let reads = || fs::read_to_string(lab.director.log()).is_ok_and(|log| log.contains(&reading));
    assert!(eventually(PATIENCE, reads));
    // Others are answered, and the end comes.
    lab.director.lvsadm("-Ln").unwrap();
    lab.director.stop().unwrap();
    let _ = reload.kill();
    let _ = reload.wait();
}

/// Its standard error output is a pipe, and nobody reads it.
#[test]
fn a_log_that_nobody_takes_holds_up_nobody() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let director = &lab.director;
    director.stop().unwrap();
    let mut daemon = director.command(&[]);
    daemon.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut daemon = lab.director.namespace().spawn(&mut daemon).unwrap();
    let answers = |line: &str| director.try_lvsadm(line).unwrap().status.success();
    assert!(eventually(PATIENCE, || answers("-Ln")));
    director.lvsadm("-A -t 10.1.0.200:80").unwrap();
    // A line of more than a pipe holds.
    let mut prefixes = String::new();
    for (a, b) in (0..20).flat_map(|a| (0..250).map(move |b| (a, b))) {
        let _ = writeln!(prefixes, "192.{a}.{b}.0/24");
    }
    let file = lab.folder().join("prefixes");
    fs::write(&file, prefixes).unwrap();
    let deny = format!("filter set 10.1.0.200:80 --deny {}", file.display());
    for _ in 0..3 {
        director.lvsadm(&deny).unwrap();
    }
    for _ in 0..10 {
        director.lvsadm("-Ln").unwrap();
    }
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    let ended = eventually(PATIENCE, || daemon.try_wait().unwrap().is_some());
    if !ended {
        daemon.kill().unwrap();
    }
    assert!(ended);
}

#[test]
fn a_configuration_that_is_no_file_is_an_error_at_once() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.stop().unwrap();
    let fifo = lab.folder().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let error = lab
        .director
        .start_with(&["--config", &fifo.to_string_lossy()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it is a FIFO, not a regular file"),
        "{error}"
    );
}

#[test]
fn too_few_open_files_are_an_error_with_the_number() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.stop().unwrap();
    for limit in [24, 64, 200] {
        let daemon = lab.director.command(&[]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")])
            .arg(daemon.get_program())
            .args(daemon.get_args());
        let output = lab.director.namespace().output(&mut shell).unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{limit}: {said}");
        let expected = format!("may have {limit} files open, and needs 320");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_start_that_fails_leaves_nothing_behind_and_takes_nothing_away() {
    let Some(lab) = Lab::for_story(Arms::Two, "-A -t 10.1.0.200:80\n") else {
        return;
    };
    let director = &lab.director;
    let fails = |options: &[&str]| {
        let error = director.start_with(options).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("nosuch"), "{error}");
    };
    // Of a data path that was there, nothing is removed.
    director.stop().unwrap();
    fails(&["--interface", "nosuch0"]);
    director.start().unwrap();
    assert!(director.lvsadm("-Sn").unwrap().contains("10.1.0.200:80"));

    director.stop().unwrap();
    fails(&["--interface", "nosuch0", "--reset"]);
    let left: Vec<_> = fs::read_dir(director.pins())
        .into_iter()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    director.start().unwrap();
    assert!(!director.lvsadm("-Sn").unwrap().contains("10.1.0.200:80"));
}

#[test]
fn an_override_that_cannot_be_kept_is_refused_unless_it_is_volatile() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let director = &daemon.lab.director;
    // Nothing can be written there.
    let nowhere = Path::new("/proc/lvs");
    director
        .start_with(&[
            "--config",
            &daemon.file.to_string_lossy(),
            "--state",
            &nowhere.to_string_lossy(),
        ])
        .unwrap();
    daemon.becomes("10.2.0.11:80 5, 10.2.0.12:80 5");
    for line in [
        "server shop 10.2.0.11 maint",
        "weight shop 10.2.0.11 7",
        "drain 10.2.0.11",
    ] {
        let output = director.try_lvsadm(line).unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(255), "{line}: {output:?}");
        assert!(said.contains("/proc/lvs"), "{line}: {said}");
        assert_eq!(daemon.table(), "10.2.0.11:80 5, 10.2.0.12:80 5", "{line}");
    }
    director
        .lvsadm("server shop 10.2.0.11 maint --volatile")
        .unwrap();
    daemon.becomes("10.2.0.12:80 5");
}

#[test]
fn an_option_gives_room_for_more_virtual_services() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let director = &lab.director;
    director.stop().unwrap();
    let mut lines = String::new();
    for number in 0..17_000 {
        let (high, low) = (number / 250, number % 250);
        let _ = writeln!(lines, "-A -u 10.9.{high}.{low}:53 -s rr");
    }
    let file = lab.folder().join("rules");
    fs::write(&file, lines).unwrap();
    let file = file.to_string_lossy();
    let refused = director.start_with(&["--config", &file, "--reset"]);
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("see --services"), "{refused}");
    director
        .start_with(&["--config", &file, "--services=17000", "--reset"])
        .unwrap();
    let count = |text: &str| text.lines().filter(|line| line.starts_with("-A")).count();
    assert_eq!(count(&director.lvsadm("-Sn").unwrap()), 17_000);
    let output = director.try_lvsadm("-A -u 10.8.0.1:53").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    // The next lvsd takes over what there is.
    director.restart().unwrap();
    assert_eq!(count(&director.lvsadm("-Sn").unwrap()), 17_000);
}
