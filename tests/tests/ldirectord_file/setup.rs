//! The services that a file configures, compared with the calls that ldirectord makes of ipvsadm.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lvs_config::lint;
use lvs_tests::lab::{find, skipped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::obstacle;

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

/// With `-d` ldirectord runs the `ipvsadm` of its working directory: this one records its arguments, of
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
fn lvsd_configures_the_services_that_ldirectord_configures() {
    if skipped(obstacle()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("up.cf");
    std::fs::write(&path, UP).unwrap();
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let code = lint::run(
        &path,
        lint::Options::default(),
        &|_| Default::default(),
        &mut out,
        &mut complaints,
    )
    .unwrap();
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
