//! The resource script for Heartbeat's `haresources`.

use std::path::Path;
use std::process::{Command, Output};

use lvs_tests::lab::built;

use crate::daemon_lab::{DaemonLab, text};

fn resource(daemon: &DaemonLab, action: &str) -> Output {
    let director = &daemon.lab.director;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/heartbeat/lvs");
    let options = format!(
        "--bpffs {} --socket {} --interface {}",
        daemon.lab.folder().join("bpf").display(),
        director.socket().display(),
        director.interfaces().join(" --interface "),
    );
    let mut command = Command::new(script);
    command
        .env("LVSD", built("lvsd").unwrap())
        .env("LVSD_OPTIONS", options)
        // Without its extension, as one writes it in haresources.
        .arg(daemon.file.with_extension(""))
        .arg(action);
    director.namespace().output(&mut command).unwrap()
}

/// Heartbeat's own rule: the text on the standard output, not the exit code.
fn owned(status: &Output) -> bool {
    let said = text(&status.stdout);
    (said.contains("running") || said.contains("OK")) && !said.contains("not running")
}

#[test]
fn the_heartbeat_resource_is_running_between_start_and_stop() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    assert!(!owned(&resource(&daemon, "status")));
    // Heartbeat stops what may have been left, and fails over if that fails.
    for action in ["stop", "start", "start"] {
        let output = resource(&daemon, action);
        assert!(output.status.success(), "{action}: {output:?}");
    }
    assert!(owned(&resource(&daemon, "status")));
    assert_eq!(daemon.table(), "10.2.0.11:80 5, 10.2.0.12:80 5");
    assert!(resource(&daemon, "stop").status.success());
    assert!(!owned(&resource(&daemon, "status")));
    assert_eq!(resource(&daemon, "begin").status.code(), Some(1));
}
