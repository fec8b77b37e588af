//! A lab whose director is run by an init script's commands about a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Arms, Lab, available};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A lab, and the file its director is run by.
pub(crate) struct DaemonLab {
    pub(crate) lab: Lab,
    pub(crate) file: PathBuf,
}

impl DaemonLab {
    /// A lab with such a file, whose daemon is not started, or `None` where there can be none.
    pub(crate) fn new(globals: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !available() {
            return None;
        }
        let lab = Lab::new(Arms::Two).unwrap();
        // Pid files of all labs lie in one folder.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-{}-{number}.cf", std::process::id());
        let daemon = Self {
            file: lab.folder().join(name),
            lab,
        };
        daemon.write(globals, 2);
        Some(daemon)
    }

    /// Writes the file: these globals, and a web service with so many real servers.
    pub(crate) fn write(&self, globals: &str, servers: u8) {
        let real = |number| format!("\treal={}:80 masq 5\n", server(Ipv4, number));
        let reals = (1..=servers).map(real).collect::<Vec<_>>().concat();
        let text = format!(
            "checktimeout=2\ncheckinterval=1\nlogfile=\"{}\"\n{globals}\n\
             virtual={}:80\n{reals}\tservice=http\n\trequest=\"/\"\n\tscheduler=rr\n\
             \tservicename=shop\n",
            self.lab.director.log().display(),
            virtual_address(Ipv4, Nat),
        );
        fs::write(&self.file, text).unwrap();
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        let name = self.file.file_name().unwrap().to_string_lossy();
        PathBuf::from(format!("/var/run/ldirectord.{name}.pid"))
    }

    pub(crate) fn pid(&self) -> String {
        let text = fs::read_to_string(self.pid_file()).unwrap();
        text.trim().to_owned()
    }

    /// Runs `lvsd FILE VERB` to its end.
    pub(crate) fn lvsd(&self, verb: &str) -> Output {
        self.lvsd_for(&self.file, verb)
    }

    pub(crate) fn lvsd_for(&self, file: &Path, verb: &str) -> Output {
        let file = file.to_string_lossy();
        let mut command = self.lab.director.command(&[&file, verb]);
        self.lab.director.namespace().output(&mut command).unwrap()
    }

    /// Runs a verb that has to be successful.
    #[track_caller]
    pub(crate) fn does(&self, verb: &str) {
        let output = self.lvsd(verb);
        assert!(
            output.status.success(),
            "{verb}: {output:?}\n{}",
            self.lab.director.log_tail()
        );
    }

    /// Runs a verb and returns its exit code.
    pub(crate) fn code(&self, verb: &str) -> Option<i32> {
        self.lvsd(verb).status.code()
    }

    /// Addresses and weights of the real servers in the tables.
    pub(crate) fn table(&self) -> String {
        let listed = self.lab.director.lvsadm("-Sn").unwrap();
        let line = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            let after = |flag: &str| {
                let place = words.iter().position(|word| *word == flag)?;
                words.get(place + 1).copied()
            };
            Some(format!("{} {}", after("-r")?, after("-w")?))
        };
        listed
            .lines()
            .filter_map(line)
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[track_caller]
    pub(crate) fn becomes(&self, table: &str) {
        let holds = eventually(PATIENCE, || self.table() == table);
        assert!(holds, "expected {table}, found {}", self.table());
    }

    /// Waits until the log has this.
    #[track_caller]
    pub(crate) fn logs(&self, line: &str) {
        let log = || fs::read_to_string(self.lab.director.log()).unwrap_or_default();
        let holds = eventually(PATIENCE, || log().contains(line));
        assert!(holds, "\"{line}\" is not in the log:\n{}", log());
    }

    /// Starts something in the director's namespace whose output is read.
    pub(crate) fn spawn(&self, mut command: std::process::Command) -> std::process::Child {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.lab.director.namespace().spawn(&mut command).unwrap()
    }
}

impl Drop for DaemonLab {
    fn drop(&mut self) {
        // The daemon goes with the lab's namespaces, without a chance to do this.
        let _ = fs::remove_file(self.pid_file());
    }
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
