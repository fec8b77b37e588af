//! Logging to syslog.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use crate::daemon_lab::{DaemonLab, PATIENCE};

/// Runs a command where `/dev/log` leads to the socket that `$0` names, and nothing else is different.
///
/// The machine itself need not have a `/dev/log` that something could be mounted on.
const WITH_LOG: &str = "set -e
new=$(mktemp -d)
mount -t tmpfs dev $new
for name in null zero full random urandom tty; do
    touch $new/$name
    mount --bind /dev/$name $new/$name
done
ln -s $0 $new/log
mount --rbind $new /dev
umount -l $new
rmdir $new
exec \"$@\"";

#[test]
fn a_syslog_facility_as_logfile_logs_to_syslog() {
    let Some(mut daemon) = DaemonLab::new("") else {
        return;
    };
    // Said last, it holds.
    daemon.write("logfile=\"local3\"", 2);
    let path = daemon.lab.folder().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    let (sender, lines) = channel();
    // It ends with the test.
    thread::spawn(move || {
        let mut line = [0; 4096];
        while let Ok(length) = log.recv(&mut line) {
            let line = String::from_utf8(line[..length].to_vec()).unwrap();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let file = daemon.file.display().to_string();
    let start = daemon.lab.director.command(&[&file, "start"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", WITH_LOG]);
    command.arg(&path).arg(start.get_program());
    command.args(start.get_args());
    let namespace = daemon.lab.director.namespace().clone();
    let output = namespace.output(&mut command).unwrap();
    assert!(output.status.success(), "{output:?}");

    daemon.lab.servers[0].crash();
    let line = loop {
        let line = lines.recv_timeout(PATIENCE).expect("a line of the log");
        if line.contains("Deleted real server: 10.2.0.11:80") {
            break line;
        }
    };
    // Facility 19, severity 6 (RFC 3164 section 4.1.1).
    assert!(line.starts_with("<158>"), "{line}");
    let who = format!(" ldirectord[{}]: Deleted real server", daemon.pid());
    assert!(line.contains(&who), "{line}");
    daemon.does("stop");
}
