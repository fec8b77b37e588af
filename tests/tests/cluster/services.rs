//! The init script and the systemd units.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use lvs_tests::eventually;
use lvs_tests::lab::{Site, built};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{FILE, says, site};

/// A site whose first director has this file as `ldirectord.cf`.
fn configured(needed: &[&str]) -> Option<Site> {
    let site = site(&["10.0.0"], needed)?;
    let lvs1 = site.director("lvs1");
    lvs1.write("/etc/ha.d/ldirectord.cf", FILE, 0o644).unwrap();
    Some(site)
}

#[test]
fn the_init_script_exits_with_the_codes_of_the_linux_standard_base() {
    let Some(site) = configured(&[]) else {
        return;
    };
    let lvs1 = site.director("lvs1");
    let is = |line: &str, expected: i32| {
        let ended = lvs1.run(&format!("/etc/init.d/lvsd {line}")).unwrap();
        assert_eq!(ended.code, Some(expected), "{line}: {}", ended.said);
    };
    is("status", 3);
    is("stop", 0);
    is("reload", 7);
    is("try-restart", 0);
    is("status", 3);
    is("start", 0);
    is("start", 0);
    is("status", 0);
    says(&site, "lvs1", "lvsadm -Sn | grep -c -- '-r 10.0.0.1'", "2");
    is("reload", 0);
    is("restart", 0);
    is("force-reload", 0);
    is("status", 0);
    is("", 2);
    is("start now", 2);
    is("dance", 3);
    lvs1.does("kill -9 $(cat /run/ldirectord.ldirectord.cf.pid)")
        .unwrap();
    let status = || lvs1.run("/etc/init.d/lvsd status").unwrap().code;
    assert!(eventually(Site::PATIENCE, || status() == Some(1)));
    is("start", 0);
    is("stop", 0);
    is("stop", 0);
    is("status", 3);

    lvs1.write("/etc/ha.d/ldirectord.cf", "nonsense\n", 0o644)
        .unwrap();
    is("start", 6);
    lvs1.does("rm /etc/ha.d/ldirectord.cf").unwrap();
    is("start", 6);
    is("stop", 0);
    is("status", 3);
    lvs1.does("chmod 0 /usr/sbin/lvsd").unwrap();
    is("start", 5);
    is("stop", 0);
    is("status", 4);
}

#[test]
fn systemd_analyze_accepts_the_units_and_rates_them_safe() {
    let Some(site) = configured(&["systemd-analyze"]) else {
        return;
    };
    let lvs1 = site.director("lvs1");
    for unit in [
        "lvsd.service",
        "lvsd@www.cf.service",
        "lvsd-tables.service",
        "lvsd-tables.socket",
    ] {
        let verified = lvs1
            .run(&format!("systemd-analyze verify --man=no {unit}"))
            .unwrap();
        // It complains of other packages' units, too.
        let complaints: Vec<_> = verified
            .said
            .lines()
            .filter(|line| line.contains("lvsd"))
            .collect();
        assert!(
            verified.success && complaints.is_empty(),
            "{}",
            verified.said
        );
    }
    // Exposure in tenths of its scale from 0 to 10; over 40 is no longer "OK".
    let line = "systemd-analyze security --offline=yes --no-pager --threshold=40 \
                /lib/systemd/system/lvsd.service";
    let judged = lvs1.run(line).unwrap();
    println!("{}", judged.said.lines().last().unwrap_or_default());
    assert!(judged.success, "{}", judged.said);
}

/// A shell expands the unit's command line in the place of systemd: both do it alike.
#[test]
fn the_systemd_unit_starts_the_file_that_the_options_name() {
    let Some(site) = configured(&[]) else {
        return;
    };
    let lvs1 = site.director("lvs1");
    lvs1.write("/etc/ha.d/www.cf", FILE, 0o644).unwrap();
    let unit = "/usr/lib/systemd/system/lvsd.service";
    let run = |key: &str, after: &str| {
        let line = format!(
            "set -a; eval \"$(sed -n s/^Environment=//p {unit})\"; . /etc/default/lvsd; \
             eval \"$(sed -n s/^{key}=//p {unit}) {after}\""
        );
        lvs1.run(&line).unwrap()
    };
    for (options, file) in [("", "ldirectord.cf"), ("LVSD_FILE=\"www.cf\"\n", "www.cf")] {
        lvs1.write("/etc/default/lvsd", options, 0o644).unwrap();
        let started = run("ExecStart", "> /dev/null 2>&1 &");
        assert!(started.success, "{}", started.said);
        let status = format!("lvsd {file} status > /dev/null 2>&1; echo $?");
        says(&site, "lvs1", &status, "0");
        says(&site, "lvs1", "lvsadm -Sn | grep -c -- '-r 10.0.0.1'", "2");
        let reloaded = run("ExecReload", "");
        assert!(reloaded.success, "{}", reloaded.said);
        lvs1.does(&format!("lvsd {file} stop")).unwrap();
    }
}

/// The fields of a message in the journal's own protocol: a name and a line, or a name, a length and as many bytes.
fn fields(mut message: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut fields = Vec::new();
    while let Some(end) = message.iter().position(|&byte| byte == b'\n') {
        let (line, rest) = (&message[..end], &message[end + 1..]);
        if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
            fields.push((text(&line[..equals]), text(&line[equals + 1..])));
            message = rest;
        } else {
            let (length, rest) = rest.split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap());
            let (value, rest) = rest.split_at(usize::try_from(length).unwrap());
            fields.push((text(line), text(value)));
            message = &rest[1..];
        }
    }
    fields
}

/// Sends to a socket that nobody reads, as much as one sender may. Returns whether that was anything.
fn fills(socket: &Path) -> bool {
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let sent = std::iter::from_fn(|| sender.send_to(b"", socket).ok());
    sent.count() > 0
}

/// The test receives the messages in the place of systemd's journal, which tells services by JOURNAL_STREAM that their
/// output is its own.
#[test]
fn the_journal_has_the_fields_of_a_change_and_the_output_has_nothing() {
    let Some(site) = configured(&[]) else {
        return;
    };
    let lvs1 = site.director("lvs1");
    lvs1.does("mkdir -p /run/systemd/journal").unwrap();
    let socket = lvs1.seen("/run/systemd/journal/socket").unwrap();
    let journal = UnixDatagram::bind(&socket).unwrap();
    journal.set_read_timeout(Some(Site::PATIENCE)).unwrap();
    lvs1.does(
        "touch /tmp/output; JOURNAL_STREAM=$(stat --format=%d:%i /tmp/output) \
         lvsd --foreground ldirectord.cf start > /tmp/output 2> /dev/null &",
    )
    .unwrap();
    let mut buffer = vec![0; 65536];
    let fields = loop {
        let length = journal.recv(&mut buffer).unwrap();
        let fields = fields(&buffer[..length]);
        let is = |name: &str, value: &str| fields.iter().any(|(n, v)| n == name && v == value);
        if is("LVS_EVENT", "up") && is("LVS_SERVER", "10.0.0.11:80") {
            break fields;
        }
    };
    let value = |name: &str| {
        let field = fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    };
    assert_eq!(value("LVS_SERVICE"), Some("tcp:10.0.0.3:80"), "{fields:?}");
    assert_eq!(value("SYSLOG_IDENTIFIER"), Some("lvsd"), "{fields:?}");
    assert_eq!(value("PRIORITY"), Some("5"), "{fields:?}");
    assert!(
        value("MESSAGE").is_some_and(|text| text.starts_with("event {")),
        "{fields:?}"
    );
    assert!(
        value("LVS_REASON").is_some_and(|text| text.starts_with("HTTP 200")),
        "{fields:?}"
    );
    assert_eq!(lvs1.does("cat /tmp/output").unwrap(), "");
    // A journal that reads nothing more holds up no edit, and not the end.
    while fills(&socket) {}
    for port in 1..=3 {
        lvs1.does(&format!("lvsadm --timeout 5s -A -t 10.0.0.200:{port}"))
            .unwrap();
    }
    lvs1.does("lvsd ldirectord.cf stop").unwrap();
}

/// The test receives the notifications in the place of systemd.
#[test]
fn systemd_is_notified_of_ready_watchdog_and_stopping() {
    let Some(site) = configured(&[]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let ears = UnixDatagram::bind(&socket).unwrap();
    ears.set_read_timeout(Some(Site::PATIENCE)).unwrap();
    let received = || {
        let mut buffer = [0; 1024];
        let length = ears.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.trim().to_owned()
    };
    let config = folder
        .path()
        .join(format!("hears-{}.cf", std::process::id()));
    std::fs::write(&config, FILE).unwrap();
    let mut command = Command::new(built("lvsd").unwrap());
    command
        .args(["--foreground", "--bpffs"])
        .arg(site.folder().join("bpf"))
        .arg("--socket")
        .arg(folder.path().join("control.sock"))
        .arg(&config)
        .arg("start")
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut daemon = site.namespace("lvs1").spawn(&mut command).unwrap();
    let next = || loop {
        let state = received();
        if state != "WATCHDOG=1" {
            break state;
        }
    };
    assert_eq!(next(), "READY=1");
    for _ in 0..3 {
        assert_eq!(received(), "WATCHDOG=1");
    }
    // The verbs find it.
    let mut status = Command::new(built("lvsd").unwrap());
    status.arg(&config).arg("status");
    assert!(status.output().unwrap().status.success());

    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(next(), "STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}
