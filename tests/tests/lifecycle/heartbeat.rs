//! The resource for Heartbeat's `haresources`.

use std::path::Path;
use std::process::{Command, Output};

use lvs_tests::lab::built;

use crate::station::{Station, text};

fn resource(station: &Station, action: &str) -> Output {
    let director = &station.lab.director;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/heartbeat/lvs");
    let options = format!(
        "--bpffs {} --socket {} --interface {}",
        station.lab.folder().join("bpf").display(),
        director.socket().display(),
        director.interfaces().join(" --interface "),
    );
    let mut command = Command::new(script);
    command
        .env("LVSD", built("lvsd").unwrap())
        .env("LVSD_OPTIONS", options)
        // Without its extension, as one writes it in haresources.
        .arg(station.file.with_extension(""))
        .arg(action);
    director.namespace().output(&mut command).unwrap()
}

/// Heartbeat's own rule: the text on the standard output, not the exit code.
fn owned(status: &Output) -> bool {
    let said = text(&status.stdout);
    (said.contains("running") || said.contains("OK")) && !said.contains("not running")
}

#[test]
fn the_resource_is_owned_between_start_and_stop() {
    let Some(station) = Station::new("") else {
        return;
    };
    assert!(!owned(&resource(&station, "status")));
    // Heartbeat stops what may have been left, and fails over if that fails.
    for action in ["stop", "start", "start"] {
        let output = resource(&station, action);
        assert!(output.status.success(), "{action}: {output:?}");
    }
    assert!(owned(&resource(&station, "status")));
    assert_eq!(station.table(), "10.2.0.11:80 5, 10.2.0.12:80 5");
    assert!(resource(&station, "stop").status.success());
    assert!(!owned(&resource(&station, "status")));
    assert_eq!(resource(&station, "begin").status.code(), Some(1));
}
