//! The lab machine itself: it changes no file of the real machine.

use std::fs;
use std::path::Path;

use crate::site::site;

#[test]
fn a_lab_machine_changes_no_file_of_the_real_machine() {
    let Some(site) = site(&["10.0.0"], &[]) else {
        return;
    };
    // Where a build, a home or a temporary file may lie.
    let kept: Vec<_> = [
        env!("CARGO_TARGET_TMPDIR"),
        "/tmp",
        "/root",
        "/etc",
        "/var/tmp",
    ]
    .iter()
    .filter(|folder| Path::new(folder).is_dir())
    .map(|folder| tempfile::NamedTempFile::new_in(folder).unwrap())
    .collect();
    let lvs1 = site.director("lvs1");
    for file in &kept {
        let path = file.path().display();
        lvs1.run(&format!("rm -rf {path}; echo mine > {path}"))
            .unwrap();
    }
    lvs1.run("rm -rf /tmp/* /var/tmp/* /root/* /home/*")
        .unwrap();
    for file in &kept {
        let path = file.path().display();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "", "{path}");
    }
    for refused in [
        "mount -t tmpfs none /mnt",
        "mount -o remount,bind,rw /proc/sys",
        "echo 1 > /proc/sys/kernel/panic",
        "echo 1 > /sys/kernel/mm/ksm/run",
        "mknod /dev/disk b 8 0",
        "chrt --fifo 5 true",
        "date --set=2000-01-01",
    ] {
        assert!(!lvs1.run(refused).unwrap().success, "{refused}");
    }
    // Its own it can change, and they outlast a crash.
    lvs1.does("sysctl -w net.ipv4.ip_forward=1; echo mine > /etc/own; echo mine > /run/own")
        .unwrap();
    site.crash("lvs1").unwrap();
    assert!(lvs1.run("true").is_err());
    site.boot("lvs1").unwrap();
    assert_eq!(lvs1.does("hostname; cat /etc/own").unwrap(), "lvs1\nmine\n");
    assert!(!lvs1.run("cat /run/own").unwrap().success);
    assert!(!Path::new("/etc/own").exists());
}
