//! Files that change on disk: autoreload and its callback.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lvs_tests::eventually;

use crate::daemon_lab::{DaemonLab, PATIENCE};

/// A command that notes what it was called with, and where it notes it.
fn callback(daemon: &DaemonLab) -> (PathBuf, PathBuf) {
    let (command, notes) = (
        daemon.lab.folder().join("callback"),
        daemon.lab.folder().join("notes"),
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
fn autoreload_applies_a_changed_file_and_ignores_an_invalid_one() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let (command, notes) = callback(&daemon);
    let globals = format!("autoreload=yes\ncallback=\"{}\"", command.display());
    daemon.write(&globals, 2);
    daemon.does("start");
    // Right after the start.
    daemon.write(&globals, 3);
    daemon.becomes("10.2.0.11:80 5, 10.2.0.12:80 5, 10.2.0.13:80 5");
    let file = daemon.file.display().to_string();
    assert!(eventually(PATIENCE, || calls(&notes) == [file.clone()]));

    fs::write(&daemon.file, "virtual=nonsense\n").unwrap();
    assert!(eventually(PATIENCE, || calls(&notes).len() == 2));
    daemon.becomes("10.2.0.11:80 5, 10.2.0.12:80 5, 10.2.0.13:80 5");
    let log = fs::read_to_string(daemon.lab.director.log()).unwrap();
    let line = format!("Configuration file '{file}' has changed on disk");
    assert_eq!(log.matches(&line).count(), 2, "{log}");
    assert_eq!(
        log.matches(" - reread new configuration").count(),
        2,
        "{log}"
    );
    daemon.does("stop");
}

#[test]
fn without_autoreload_a_change_runs_the_callback_and_waits_for_a_reload() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let (command, notes) = callback(&daemon);
    let globals = format!("callback=\"{}\"", command.display());
    daemon.write(&globals, 1);
    daemon.does("start");
    daemon.write(&globals, 2);
    assert!(eventually(PATIENCE, || calls(&notes).len() == 1));
    assert_eq!(daemon.table(), "10.2.0.11:80 5");
    daemon.does("reload");
    daemon.becomes("10.2.0.11:80 5, 10.2.0.12:80 5");
    daemon.does("stop");
}

#[test]
fn autoreload_watches_further_files_too() {
    let Some(daemon) = DaemonLab::new("") else {
        return;
    };
    let (command, notes) = callback(&daemon);
    let further = daemon.lab.folder().join("further.cf");
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
    daemon.write(&globals, 1);
    daemon.does("start");
    daemon.becomes("10.2.0.13:80 1, 10.2.0.11:80 5");
    service(2);
    daemon.becomes("10.2.0.13:80 2, 10.2.0.11:80 5");
    let changed = [further.display().to_string()];
    assert!(eventually(PATIENCE, || calls(&notes) == changed));
    daemon.does("stop");
}
