//! Edits while nothing can be written: what is kept in files is refused, what is kept in the kernel is not.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::director::built;
use lvs_tests::lab::{Arms, Lab, available};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A folder on a small file system of its own.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        mount(
            Some("none"),
            &folder,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=64k"),
        )
        .unwrap();
        Self(folder)
    }

    fn fill(&self) {
        let chunk = [0; 4096];
        let mut number = 0;
        while fs::write(self.0.join(format!("fill{number}")), chunk).is_ok() {
            number += 1;
        }
    }

    fn clear(&self) {
        for entry in fs::read_dir(&self.0).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("fill") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    fn make_read_only(&self, read_only: bool) {
        let flags = if read_only {
            MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY
        } else {
            MsFlags::MS_REMOUNT
        };
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Starts the director with a file of one service, its state and its socket's files in this folder.
fn start(lab: &Lab, state: &Path) {
    let file = lab.folder().join("www.cf");
    let text = format!(
        "interval = 100ms\nvirtual = {}:80\n\treal = {}:80 masq 5\n\treal = {}:80 masq 5\n\tchecktype = connect\n",
        virtual_address(Ipv4, Nat),
        server(Ipv4, 1),
        server(Ipv4, 2),
    );
    fs::write(&file, text).unwrap();
    let (file, state) = (file.to_string_lossy(), state.to_string_lossy());
    lab.director
        .start_with(&["--config", &file, "--state", &state])
        .unwrap();
}

#[test]
fn what_cannot_be_kept_is_refused_and_changes_nothing() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let disk = Disk::mount(lab.folder().join("state"));
    start(&lab, &disk.0);
    let (service, real) = (virtual_address(Ipv4, Nat), server(Ipv4, 1));
    let table = || {
        let lines = lab.director.lvsadm("-Sn").unwrap();
        let weights = lines
            .lines()
            .filter_map(|line| line.rsplit_once("-w ").map(|(_, weight)| weight.to_owned()));
        weights.collect::<Vec<_>>().join(" ")
    };
    assert!(eventually(PATIENCE, || table() == "5 5"), "{}", table());
    for read_only in [false, true] {
        if read_only {
            disk.make_read_only(true);
        } else {
            disk.fill();
        }
        for line in [
            format!("server {service}:80 {real}:80 maint"),
            format!("server {service}:80 {real}:80 drain"),
            format!("weight {service}:80 {real}:80 50%"),
            format!("drain {real}:80 --timeout 1s"),
        ] {
            let output = lab.director.try_lvsadm(&line).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{line}");
            assert!(said.contains("--volatile"), "{line}: {said}");
            assert_eq!(table(), "5 5", "{line}");
        }
        // These are kept by the kernel, as IPVS keeps its tables.
        let address = "10.1.0.200:81";
        for line in [
            format!("-A -t {address} -s wrr"),
            format!("-a -t {address} -r {real}:81 -m -w 7"),
            format!("-e -t {address} -r {real}:81 -m -w 8"),
            format!("filter set {address} --deny 198.51.100.0/24"),
            "--set 700 70 170".to_owned(),
            "--mark 7 -t 10.1.0.201:80".to_owned(),
        ] {
            lab.director.lvsadm(&line).unwrap();
        }
        lab.director.kill();
        if read_only {
            disk.make_read_only(false);
        } else {
            disk.clear();
        }
        start(&lab, &disk.0);
        assert!(
            eventually(PATIENCE, || table().contains("5 5")),
            "{}",
            table()
        );
        assert_eq!(
            lab.director.lvsadm("-L --timeout").unwrap(),
            "Timeout (tcp tcpfin udp): 700 70 170\n"
        );
        assert!(lab.director.lvsadm("-Sn").unwrap().contains("-w 8"));
        assert!(
            lab.director
                .lvsadm(&format!("filter show {address} --json"))
                .unwrap()
                .contains("198.51.100.0/24")
        );
        assert!(
            lab.director
                .lvsadm("--list-marks")
                .unwrap()
                .contains("--mark 7")
        );
        for line in [
            format!("-D -t {address}"),
            "--mark 0 -t 10.1.0.201:80".to_owned(),
        ] {
            lab.director.lvsadm(&line).unwrap();
        }
        if read_only {
            disk.make_read_only(true);
        } else {
            disk.fill();
        }
        lab.director
            .lvsadm(&format!("server {service}:80 {real}:80 maint --volatile"))
            .unwrap();
        assert!(eventually(PATIENCE, || table() == "5"), "{}", table());
        lab.director
            .lvsadm(&format!("server {service}:80 {real}:80 ready --volatile"))
            .unwrap();
        assert!(eventually(PATIENCE, || table() == "5 5"), "{}", table());
        disk.make_read_only(false);
        disk.clear();
    }
}

/// The kernel's answer to such a write is a signal that ends the process, unless the process wants an error.
#[test]
fn a_limit_of_the_size_of_files_is_a_refusal_and_no_end() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    start(&lab, &lab.folder().join("state"));
    let line = format!("drain {} --timeout 1s", server(Ipv4, 1));
    lab.director.limit_files(Some(0)).unwrap();
    let output = lab.director.try_lvsadm(&line).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("--volatile"), "{said}");
    lab.director.limit_files(None).unwrap();
    lab.director.lvsadm(&line).unwrap();
}

#[test]
fn a_role_that_cannot_be_kept_is_refused() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    start(&lab, &lab.folder().join("state"));
    let role = lab.director.socket().with_extension("role");
    let _ = fs::remove_file(&role);
    fs::create_dir_all(role.join("in the way")).unwrap();
    let output = lab.director.try_lvsadm("role backup").unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(".role"),
        "{output:?}"
    );
    assert_eq!(lab.director.lvsadm("role").unwrap(), "master\n");
}

#[test]
fn a_role_on_a_full_disk_is_refused() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let disk = Disk::mount(lab.folder().join("run"));
    let socket = disk.0.join("lvsd.sock");
    let mut lvsd = Command::new(built("lvsd").unwrap());
    lvsd.arg("--bpffs").arg(lab.director.pins());
    lvsd.arg("--socket").arg(&socket);
    lvsd.stdin(Stdio::null()).stderr(Stdio::null());
    let mut lvsd = lab.director.namespace().spawn(&mut lvsd).unwrap();
    let role = |word: &str| {
        let mut lvsadm = Command::new(lab.director.lvsadm_program());
        lvsadm.arg("--socket").arg(&socket).arg("role");
        lvsadm.args(word.split_whitespace());
        let output = lab.director.namespace().output(&mut lvsadm).unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let file = socket.with_extension("role");
    let kept = || fs::read_to_string(&file).unwrap_or_default();
    let listens = eventually(PATIENCE, || UnixStream::connect(&socket).is_ok());
    let begun = kept();
    disk.fill();
    let refused = role("backup");
    let after = (kept(), role(""));
    disk.clear();
    let done = (role("backup"), kept());
    lvsd.kill().unwrap();
    lvsd.wait().unwrap();
    assert!(listens && begun.contains("master"), "{begun}");
    let words = "cannot keep the role in ";
    assert!(!refused.0 && refused.1.contains(words), "{refused:?}");
    assert_eq!(after, (begun, (true, "master\n".to_owned())));
    assert!(done.0.0 && done.1.contains("backup"), "{done:?}");
}
