//! Which lines ldirectord takes and which it refuses, asked of ldirectord itself (`FILE status` reads
//! the whole file and ends with 2 if it is wrong), and of this director's reader.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lvs_tests::lab::{Missing, find, skipped};
use lvs_userspace::check;
use lvs_userspace::config::ldirectord;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where a line is tried.
#[derive(Clone, Copy, Debug)]
enum At {
    /// At the beginning of a file with one virtual service.
    Global,
    /// Below a virtual service with a real server.
    Section,
    /// Below a virtual service without one.
    Real,
    /// Below an IPv6 virtual service.
    Section6,
    /// Instead of the line that begins the virtual service.
    Virtual,
    /// The same with an IPv6 real server below.
    Virtual6,
}

use At::{Global, Real, Section, Section6, Virtual, Virtual6};

/// Both take them.
const ACCEPTED: &[(At, &[&str])] = &[
    (
        Global,
        &[
            "checktimeout=5",
            "checktimeout = 5",
            "checktimeout=abc5",
            "checktimeout=5s",
            "checktimeout=5 # x",
            "negotiatetimeout=3",
            "checkinterval=1.5",
            "checkcount=3",
            "failurecount=2",
            "autoreload = no",
            "callback=\"/bin/true x\"",
            "callback=\"\"",
            "fallback=127.0.0.1",
            "fallback=127.0.0.1:80 masq",
            "fallback=localhost",
            "fallback=127.0.0.1:80 gate, 127.0.0.2:80 masq",
            "fallback=",
            "fallback6=[::1]:80",
            "fallback6=[::1]",
            "fallbackcommand=/bin/true a b",
            "fallbackcommand=\"/bin/true\"",
            "logfile=\"local0\"",
            "emailalert=\"a@b, c@d\"",
            "emailalert=a@b",
            "emailalertfrom=\"x\" <a@b>",
            "emailalertfreq=0",
            "emailalertstatus=all,running",
            "emailalertstatus=running, stopping",
            "emailalertstatus=none",
            "emailalertstatus=",
            "smtp=mail.example.com",
            "execute=foo",
            "execute=",
            "supervised",
            "supervised=no",
            "fork=yes",
            "quiescent=yes",
            "readdquiescent=yes",
            "cleanstop=no",
            "maintenancedir=/does/not/exist",
            "    # a comment",
        ],
    ),
    (
        Section,
        &[
            "checktype=connect",
            "checktype = external-perl",
            "checktype=5",
            "checktype=0",
            "checktype=5x",
            "checktype=\"connect\"",
            "checktype=connect # c",
            "service=http_proxy",
            "service=\"http\"",
            "checkcommand=/bin/true a b",
            "checkcommand=\"/bin/true\"",
            "checkcommand=/no/such",
            "checkport=65535",
            "checktimeout=3",
            "failurecount=2",
            "checkcount=2",
            "checkinterval=5",
            "request=\"x\"",
            "request=\"a\"b\"",
            "request=\"a\" b",
            "receive=\"a.*(b|c)$\"",
            "httpmethod=head",
            "httpmethod=\"GET\"",
            "virtualhost=www x",
            "virtualhost=\"www\"",
            "virtualhost=",
            "login=\"x\"",
            "passwd=\"x\"",
            "database=\"x\"",
            "secret=\"x\"",
            "load=\"x\"",
            "scheduler=wlc",
            "scheduler=\"rr\"",
            "scheduler=rr1",
            "schedflags=flag-1",
            "persistent=600",
            "persistent=0",
            "persistent=600s",
            "netmask=255.255.255.0",
            "protocol=\"tcp\"",
            "protocol=udp",
            "ops=no",
            "fallback=127.0.0.1",
            "fallbackcommand=/bin/x y",
            "quiescent=no",
            "cleanstop=yes",
            "emailalert=a@b",
            "emailalertfreq=6",
            "emailalertstatus=none",
            "smtp=192.0.2.1",
            "servicename=Web Site",
            "servicename=",
            "comment=x y",
            "     request=\"x\"",
        ],
    ),
    (
        Real,
        &[
            "real=10.0.0.2:80 gate",
            "real=10.0.0.2 gate",
            "real=10.0.0.2:http gate",
            "real=10.0.0.2:0 gate",
            "real=10.0.0.2:80 gate 0",
            "real=10.0.0.2:80 gate 5 \"a\",\"b\"",
            "real=10.0.0.2:80 gate 5 \"a\", \"b\"",
            "real=10.0.0.2:80 gate 5 \"a\" \"b\"",
            "real=10.0.0.2:80 gate \"a\",\"b\"",
            "real=10.0.0.2:80 gate 5 \"/a\",\"b\" l:5 u:9",
            "real=10.0.0.2:80 gate l:5 u:9",
            "real=10.0.0.2:80 gate u:9",
            "real = 10.0.0.2:80   ipip   5",
            "real=10.0.0.2->10.0.0.5:80 gate",
            "real=10.0.0.9->10.0.0.12:80 masq",
            "real=10.0.0.2:80->10.0.0.5:80 gate",
            "real=localhost:80 gate",
            "real=10.0.0.2::80 gate",
            "real=10.0.0.2:80 masq 70000",
            "real=10.0.0.2:80 gate 5#c",
        ],
    ),
    (
        Section6,
        &[
            "real6=[fd00::3] gate",
            "real6=[fd00::3]:http gate 5 \"a\",\"b\" l:1 u:5",
            "fallback6=[::1]:80",
            "netmask=64",
        ],
    ),
    (
        Virtual,
        &[
            "virtual=10.0.0.1:http",
            "virtual=10.0.0.1:0",
            "virtual=5",
            "virtual=06",
            "virtual=4294967295",
            "virtual=localhost:80",
            "virtual = 10.0.0.1:81",
            "virtual=10.0.0.1:82 # c",
            "virtual=10.0.0.1:83 x",
            "virtual=10.0.0.1:domain",
        ],
    ),
    (
        Virtual6,
        &[
            "virtual6=[fd00::1]:80",
            "virtual6=[fd00::1]:https",
            "virtual6=5",
        ],
    ),
];

/// Both refuse them, with the same line.
const REFUSED: &[(At, &[&str])] = &[
    (
        Global,
        &[
            "checktimeout=0",
            "checktimeout=",
            "checktimeout 5",
            "Checktimeout=5",
            "negotiatetimeout=0",
            "checkinterval=0",
            "checkcount=0",
            "failurecount=0",
            "autoreload=YES",
            "autoreload=",
            "callback=/bin/true",
            "fallback=127.0.0.1:80 frob",
            "fallback=127.0.0.1:99999",
            "fallback=nosuch.invalid:80",
            "fallback=[::1]:80",
            "fallback6=::1",
            "fallback6=127.0.0.1:80",
            "fallbackcommand=",
            "logfile=local0",
            "emailalert=",
            "emailalertfreq=x",
            "emailalertstatus=none,running",
            "emailalertstatus=frob",
            "smtp=",
            "supervised=maybe",
            "fork=1",
            "maintenancedir=",
            "frob=1",
            "checktype=on",
        ],
    ),
    (
        Section,
        &[
            "checktype=Connect",
            "checktype=",
            "service=HTTP",
            "service=",
            "checkcommand=",
            "checkport=http",
            "checkport=0",
            "checkport=65536",
            "checktimeout=0",
            "request=x",
            "request=\"",
            "request=\"\"",
            "receive=\"\"",
            "httpmethod=POST",
            "login=x",
            "passwd=\"\"",
            "scheduler=RR",
            "schedflags=",
            "persistent=x",
            "netmask=24",
            "protocol=fwm",
            "protocol=TCP",
            "ops=y",
            "fallback6=[::1]:80",
            "fallback=x.invalid",
            "monitorfile=/no/such/dir",
            "emailalertfrom=a@b",
            "readdquiescent=yes",
            "maintenancedir=/tmp",
            "frob",
            "=x",
        ],
    ),
    (
        Real,
        &[
            "real=10.0.0.2:80",
            "real=10.0.0.2:frob gate",
            "real=10.0.0.2:65536 gate",
            "real=10.0.0.2: gate",
            "real=10.0.0.2:80 gate x",
            "real=10.0.0.2:80 gate -1",
            "real=10.0.0.2:80 gate l:x",
            "real=10.0.0.2:80 gate 5 junk",
            "real=10.0.0.2:80 gate 5 \"a,\"b\"",
            "real=10.0.0.2:80 Gate",
            "real=10.0.0.5->10.0.0.2:80 gate",
            "real=nosuch.invalid:80 gate",
            "real=[fd00::2]:80 gate",
            "real6=[fd00::2]:80 gate",
            "real=",
            "real",
            "real=10.0.0.2:80 gate 5.5",
        ],
    ),
    (
        Section6,
        &[
            "real6=fd00::2 gate",
            "real6=[fd00::2]->[fd00::5]:80 gate",
            "real=10.0.0.2:80 gate",
            "fallback=127.0.0.1:80",
            "netmask=0",
            "netmask=255.255.255.0",
        ],
    ),
    (
        Virtual,
        &[
            "virtual=10.0.0.1:frob",
            "virtual=10.0.0.1:65536",
            "virtual=-1",
            "virtual=localhost",
            "virtual=nosuch.invalid:80",
            "virtual=[fd00::1]:80",
            "virtual=",
            "virtual",
            "virtual=\"10.0.0.1:80\"",
        ],
    ),
    (
        Virtual6,
        &[
            "virtual6=[fd00::1]",
            "virtual6=fd00::1",
            "virtual6=[fd00::x]:80",
        ],
    ),
];

/// Only this director takes them: what was meant is clear, or the keyword is new.
const ONLY_HERE: &[(At, &[&str])] = &[
    (
        Global,
        &[
            "autoreload=yes ",
            "autoreload=yes # x",
            "timeout=10",
            "connecttimeout=3",
            "fallback=127.0.0.1:http",
            "fallback6=[::1]:http gate",
            "emailalertstatus=\"all\"",
            "smtp=\"mail\"",
            "rise=2",
            "checksource=192.0.2.1",
        ],
    ),
    (
        Section,
        &[
            "quiescent=yes ",
            "quiescent=yes # x",
            "receive=\"a#b\"",
            "timeout=5",
            "interval=500ms",
            "check=connect checkport=22",
            "status=200-299, 304",
        ],
    ),
    (
        Real,
        &[
            "real=10.0.0.2:80 gate \"a\"",
            "real=10.0.0.2:80 gate backup=yes",
        ],
    ),
];

/// Only ldirectord takes them. Each is a file that cannot do what was meant.
const ONLY_THERE: &[(At, &[&str])] = &[
    // Nobody gets the mails.
    (Global, &["emailalert=\""]),
    (
        Section,
        &[
            // The check dies at every probe.
            "receive=\"(x\"",
            // ipvsadm refuses these.
            "scheduler=frob",
            "netmask=255.255.255.256",
            "netmask=255.0.255.0",
            "schedflags=\"x\"",
        ],
    ),
    (
        Real,
        &[
            // The kernel refuses these.
            "real=10.0.0.2:80 gate l:9 u:5",
            "real=10.0.0.2:80 gate 99999999999",
        ],
    ),
    (
        Virtual,
        &[
            // Firewall mark 10.
            "virtual=10.9.9.9",
            // Firewall mark 7.
            "virtual=7x",
            // Firewall mark 0, which no packet can be told by.
            "virtual=0",
        ],
    ),
];

/// A file around a line, with the number of that line.
fn file(at: At, line: &str, port: usize) -> (String, usize) {
    let virtual4 = format!("virtual=192.0.2.1:{port}");
    let virtual6 = format!("virtual6=[2001:db8::1]:{port}");
    match at {
        Global => (
            format!("{line}\n\n{virtual4}\n\treal=10.0.0.2:80 gate\n"),
            1,
        ),
        Section => (
            format!("{virtual4}\n\treal=10.0.0.2:80 gate\n\t{line}\n"),
            3,
        ),
        Real => (format!("{virtual4}\n\t{line}\n"), 2),
        Section6 => (
            format!("{virtual6}\n\treal6=[fd00::2]:80 gate\n\t{line}\n"),
            3,
        ),
        Virtual => (format!("{line}\n\treal=10.0.0.2:80 gate\n"), 1),
        Virtual6 => (format!("{line}\n\treal6=[fd00::2]:80 gate\n"), 1),
    }
}

fn cases(table: &'static [(At, &[&str])]) -> impl Iterator<Item = (At, &'static str)> {
    table
        .iter()
        .flat_map(|(at, lines)| lines.iter().map(|line| (*at, *line)))
}

/// Line and text of the first error of this director's reader.
fn ours(text: &str) -> Option<(usize, String)> {
    let reading = ldirectord::parse(text);
    let error = reading.diagnostics.iter().find(|found| found.is_error());
    assert_eq!(error.is_none(), reading.configuration.is_some());
    error.map(|error| (error.line, error.to_string()))
}

/// The same of ldirectord.
fn theirs(text: &str) -> Option<(usize, String)> {
    let folder = tempfile::tempdir().unwrap();
    // The name is that of the pid file, which a wrong file has ldirectord remove.
    let path = folder
        .path()
        .join(format!("lvs-test-{}.cf", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let output = Command::new(find("ldirectord").unwrap())
        .arg(&path)
        .arg("status")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        // Not running, and nothing to say against the file.
        Some(3) => None,
        Some(2) => {
            let line = said
                .split("Error [")
                .nth(1)
                .and_then(|error| error.split("at line ").nth(1))
                .and_then(|rest| rest.split(':').next()?.parse().ok())
                .unwrap_or_else(|| panic!("no line in {said}"));
            Some((line, said))
        }
        code => panic!("ldirectord ended with {code:?} for\n{text}\n{said}"),
    }
}

fn obstacle() -> Result<(), Missing> {
    match find("ldirectord") {
        Some(_) => Ok(()),
        None => Err(Missing(
            "ldirectord is not installed: run `cargo xtask setup`".into(),
        )),
    }
}

/// Runs ldirectord for each case, several at a time, and gathers what does not fit.
fn each(
    cases: impl Iterator<Item = (At, &'static str)> + Send,
    judge: impl Fn(Option<(usize, String)>, usize) -> Option<String> + Sync,
) {
    let queue = Mutex::new(cases);
    let wrong = Mutex::new(String::new());
    let work = || {
        loop {
            let next = queue.lock().unwrap().next();
            let Some((at, line)) = next else { break };
            let (text, number) = file(at, line, 80);
            if let Some(complaint) = judge(theirs(&text), number) {
                let _ = writeln!(wrong.lock().unwrap(), "{at:?} {line:?}: {complaint}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn lines_are_taken_and_refused_here_as_the_tables_say() {
    let taken = cases(ACCEPTED)
        .chain(cases(ONLY_HERE))
        .map(|case| (case, true));
    let refused = cases(REFUSED)
        .chain(cases(ONLY_THERE))
        .map(|case| (case, false));
    let mut wrong = String::new();
    for ((at, line), taken) in taken.chain(refused) {
        let (text, number) = file(at, line, 80);
        match (ours(&text), taken) {
            (None, true) => {}
            (Some((found, _)), false) if found == number => {}
            (outcome, _) => {
                let _ = writeln!(wrong, "{at:?} {line:?}: {outcome:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn ldirectord_takes_what_the_tables_say() {
    if skipped(obstacle()) {
        return;
    }
    // All of them in one file: if one were refused, the file would be. Globals go first.
    let taken = cases(ACCEPTED).chain(cases(ONLY_THERE));
    let (globals, sections): (Vec<_>, Vec<_>) = taken.partition(|(at, _)| matches!(at, Global));
    let mut text = String::new();
    for (_, line) in globals {
        let _ = writeln!(text, "{line}");
    }
    for (index, (at, line)) in sections.into_iter().enumerate() {
        let _ = writeln!(text, "\n{}", file(at, line, 1000 + index).0);
    }
    assert_eq!(theirs(&text), None);
}

#[test]
fn ldirectord_refuses_what_the_tables_say() {
    if skipped(obstacle()) {
        return;
    }
    each(cases(REFUSED), |outcome, number| match outcome {
        Some((line, _)) if line == number => None,
        outcome => Some(format!("{outcome:?}")),
    });
    each(cases(ONLY_HERE), |outcome, _| match outcome {
        Some(_) => None,
        None => Some("it is taken".to_owned()),
    });
}

#[test]
fn the_sample_files_of_the_package_load() {
    if skipped(obstacle()) {
        return;
    }
    let samples = [
        "/usr/share/doc/ldirectord/examples/ldirectord.cf",
        "/etc/ha.d/ldirectord.cf",
    ];
    let found: Vec<_> = samples
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    if found.is_empty() {
        skipped(Err(Missing(
            "ldirectord's samples are not installed".into(),
        )));
    }
    for text in found {
        assert_eq!(ours(&text), None);
        for sample in samples_in(&text) {
            assert_eq!(ours(&sample), None, "{sample}");
        }
    }
}

/// The virtual services that stand in a file as comments, each by itself.
fn samples_in(text: &str) -> Vec<String> {
    let mut samples: Vec<String> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
        if line.starts_with("virtual") {
            samples.push(String::new());
        } else if !line.starts_with('\t') {
            continue;
        }
        if let Some(sample) = samples.last_mut() {
            // Names of data base servers that nobody has.
            let line = line.replace("sql01->sql03", "192.0.2.1->192.0.2.3");
            let _ = writeln!(sample, "{line}");
        }
    }
    samples
}

/// Virtual services whose servers are up without a check, in every form in which they can be written.
const UP: &str = "\
checkinterval=1
virtual=192.0.2.1:80
\treal=10.0.0.1 gate
\treal=10.0.0.2:8080 gate 3
\treal=10.0.0.3:8080 masq 0
\treal=10.0.0.4->10.0.0.6:http ipip 7 \"x\",\"y\" l:3 u:9
\tchecktype=on
\tpersistent=600
\tnetmask=255.255.255.0
\tscheduler=sh
\tschedflags=sh-port
virtual=192.0.2.1:domain
\treal=10.0.0.1:53 gate
\tops=yes
\tchecktype=on
virtual=7
\treal=10.0.0.1 gate
\treal=10.0.0.2:8080 masq
\tchecktype=on
virtual6=[2001:db8::1]:443
\treal6=[2001:db8::2]:443 gate 65535
\tchecktype=on
\tpersistent=60
\tnetmask=64
virtual6=9
\treal6=[2001:db8::2]:443 gate
\tchecktype=on
virtual=192.0.2.2:84
\treal=10.0.0.2:85 masq 5 \"a\" l:5 u:9
\treal=localhost:84 gate
\tchecktype=on
";

/// With `-d` ldirectord runs the `ipvsadm` of its working directory: this one notes what it is told, of
/// an empty table.
const NOTING_IPVSADM: &str = r#"#!/bin/sh
echo "$@" >> "${0%/*}/calls"
case "$1" in -L)
    echo "IP Virtual Server version 1.2.1 (size=4096)"
    echo "Prot LocalAddress:Port Scheduler Flags"
    echo "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn" ;;
esac
"#;

/// A running ldirectord.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_set_up_is_what_ldirectord_sets_up() {
    if skipped(obstacle()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("up.cf");
    std::fs::write(&path, UP).unwrap();
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let code = check::run(&path, false, &mut out, &mut complaints).unwrap();
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&complaints));
    let here = canonical(&String::from_utf8(out).unwrap());

    let ipvsadm = folder.path().join("ipvsadm");
    std::fs::write(&ipvsadm, NOTING_IPVSADM).unwrap();
    std::fs::set_permissions(&ipvsadm, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _running = Running(
        Command::new(find("ldirectord").unwrap())
            .arg("-d")
            .arg(&path)
            .arg("start")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let there = |calls: &Path| canonical(&std::fs::read_to_string(calls).unwrap_or_default());
    let calls = folder.path().join("calls");
    let begin = Instant::now();
    while there(&calls).len() < here.len() && begin.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(there(&calls), here);
}

/// Lines of ipvsadm that add something, with their options in order and without what has no effect.
fn canonical(lines: &str) -> BTreeSet<String> {
    lines
        .lines()
        .filter(|line| line.starts_with("-A ") || line.starts_with("-a "))
        .map(|line| {
            let mut options = BTreeMap::new();
            let mut words = line.split(' ').peekable();
            while let Some(option) = words.next() {
                let value = words.next_if(|word| !word.starts_with('-'));
                options.insert(option, value.unwrap_or_default().to_owned());
            }
            options.remove("--tun-type");
            options.retain(|option, value| !(["-x", "-y"].contains(option) && value == "0"));
            // ipvsadm itself gives a server the virtual port, if NAT does not give it another.
            let virtual_port = ["-t", "-u"]
                .iter()
                .find_map(|option| options.get(option)?.rsplit_once(':'))
                .map(|(_, port)| port.to_owned());
            let nat = options.contains_key("-m");
            if let (Some(server), Some(port)) = (options.get_mut("-r"), virtual_port) {
                let (host, own) = server.rsplit_once(':').unwrap();
                if !nat || own == "0" {
                    *server = format!("{host}:{port}");
                }
            }
            format!("{options:?}")
        })
        .collect()
}
