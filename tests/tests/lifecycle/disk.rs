//! The file changes on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lvs_tests::eventually;

use crate::station::{PATIENCE, Station};

/// A command that notes what it was called with, and where it notes it.
fn callback(station: &Station) -> (PathBuf, PathBuf) {
    let (command, notes) = (
        station.lab.folder().join("callback"),
        station.lab.folder().join("notes"),
    );
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\n", notes.display());
    fs::write(&command, script).unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    (command, notes)
}

fn calls(notes: &PathBuf) -> Vec<String> {
    let text = fs::read_to_string(notes).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn with_autoreload_a_changed_file_is_in_effect_by_itself_and_a_wrong_one_is_not() {
    let Some(station) = Station::new("") else {
        return;
    };
    let (command, notes) = callback(&station);
    let globals = format!("autoreload=yes\ncallback=\"{}\"", command.display());
    station.write(&globals, 2);
    station.does("start");
    // Right after the start.
    station.write(&globals, 3);
    station.becomes("10.2.0.11:80 5, 10.2.0.12:80 5, 10.2.0.13:80 5");
    let file = station.file.display().to_string();
    assert!(eventually(PATIENCE, || calls(&notes) == [file.clone()]));

    fs::write(&station.file, "virtual=nonsense\n").unwrap();
    assert!(eventually(PATIENCE, || calls(&notes).len() == 2));
    station.becomes("10.2.0.11:80 5, 10.2.0.12:80 5, 10.2.0.13:80 5");
    let log = fs::read_to_string(station.lab.director.log()).unwrap();
    let line = format!("Configuration file '{file}' has changed on disk");
    assert_eq!(log.matches(&line).count(), 2, "{log}");
    assert_eq!(
        log.matches(" - reread new configuration").count(),
        2,
        "{log}"
    );
    station.does("stop");
}

#[test]
fn without_autoreload_a_changed_file_waits_for_a_reload_but_the_callback_is_run() {
    let Some(station) = Station::new("") else {
        return;
    };
    let (command, notes) = callback(&station);
    let globals = format!("callback=\"{}\"", command.display());
    station.write(&globals, 1);
    station.does("start");
    station.write(&globals, 2);
    assert!(eventually(PATIENCE, || calls(&notes).len() == 1));
    assert_eq!(station.table(), "10.2.0.11:80 5");
    station.does("reload");
    station.becomes("10.2.0.11:80 5, 10.2.0.12:80 5");
    station.does("stop");
}

#[test]
fn a_further_file_is_watched_as_the_first_is() {
    let Some(station) = Station::new("") else {
        return;
    };
    let (command, notes) = callback(&station);
    let further = station.lab.folder().join("further.cf");
    let service = |weight: u8| {
        let text = "virtual=192.0.2.1:80\n\tchecktype=on\n\treal=10.2.0.13:80 masq";
        fs::write(&further, format!("{text} {weight}\n")).unwrap();
    };
    service(1);
    let globals = format!(
        "autoreload=yes\ncallback=\"{}\"\nexecute={}",
        command.display(),
        further.display()
    );
    station.write(&globals, 1);
    station.does("start");
    station.becomes("10.2.0.13:80 1, 10.2.0.11:80 5");
    service(2);
    station.becomes("10.2.0.13:80 2, 10.2.0.11:80 5");
    let changed = [further.display().to_string()];
    assert!(eventually(PATIENCE, || calls(&notes) == changed));
    station.does("stop");
}
