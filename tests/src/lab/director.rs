//! The director: the real daemon in its namespace, and lvsadm talking to it.

use crate::pairs;
use std::env;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lvs_api::model::{Family, Method, Protocol};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::{Mutex, MutexGuard};

use super::addresses::{self, FAMILIES, METHODS};
use super::namespace::Namespace;
use super::network::{Host, Network};
use super::server::RealServer;

/// The daemon, started and ended by tests, and the command line to it.
pub struct Director {
    namespace: Namespace,
    interfaces: &'static [&'static str],
    /// Configuration, log and control socket.
    folder: PathBuf,
    bpffs: PathBuf,
    lvsd: PathBuf,
    lvsadm: PathBuf,
    /// Behind a lock, so that a test can end the daemon while another thread sends requests.
    daemon: Mutex<Option<Child>>,
}

impl Director {
    pub(super) fn new(network: &Network, lab: &Path) -> Result<Self> {
        Self::at(network, 1, lab.to_owned(), lab.join("bpf"))
    }

    /// One of several.
    pub(super) fn one_of(network: &Network, number: u8, lab: &Path) -> Result<Self> {
        let name = format!("director{number}");
        let folder = lab.join(&name);
        fs::create_dir(&folder)?;
        Self::at(network, number, folder, lab.join("bpf").join(name))
    }

    fn at(network: &Network, number: u8, folder: PathBuf, bpffs: PathBuf) -> Result<Self> {
        Ok(Self {
            namespace: network.namespace(Host::Director(number)),
            interfaces: network.director_interfaces(),
            folder,
            bpffs,
            lvsd: built("lvsd")?,
            lvsadm: built("lvsadm")?,
            daemon: Mutex::new(None),
        })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its interfaces, the one towards the clients first.
    pub fn interfaces(&self) -> &'static [&'static str] {
        self.interfaces
    }

    /// The Ethernet address of one of them.
    ///
    /// # Panics
    ///
    /// When it has none of that name.
    pub fn mac(&self, interface: &str) -> String {
        let shown = self
            .namespace
            .run("ip", &["-oneline", "link", "show", "dev", interface])
            .unwrap_or_else(|error| panic!("{error:#}"));
        let mut words = shown.split_whitespace();
        words.find(|word| *word == "link/ether");
        words.next().unwrap_or_default().to_owned()
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// The command line's program, for people to type.
    pub fn lvsadm_program(&self) -> &Path {
        &self.lvsadm
    }

    /// The log of the daemon, of all its starts.
    pub fn log(&self) -> PathBuf {
        self.folder.join("lvsd.log")
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Child>> {
        self.daemon.lock()
    }

    /// Starts the daemon without a configuration: it finds what is in its maps.
    pub fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts the daemon with `ipvsadm -S` lines as its configuration.
    pub fn start_configured(&self, lines: &str) -> Result<()> {
        self.start_configured_with(lines, &[])
    }

    /// Starts the daemon with `ipvsadm -S` lines as its configuration, and more options.
    pub fn start_configured_with(&self, lines: &str, options: &[&str]) -> Result<()> {
        let file = self.folder.join("director.conf");
        fs::write(&file, lines)?;
        self.start_with(&[&["--config", &file.to_string_lossy()], options].concat())
    }

    /// Starts the daemon with more options; returns once it answers.
    pub fn start_with(&self, options: &[&str]) -> Result<()> {
        self.launch(self.command(options))
    }

    /// The same, with variables of its environment.
    pub fn start_in(&self, variables: &[(&str, &str)], options: &[&str]) -> Result<()> {
        let mut command = self.command(options);
        command.envs(variables.iter().copied());
        self.launch(command)
    }

    /// The same, but the daemon has to find its interfaces, unless they are among the options.
    pub fn start_on(&self, options: &[&str]) -> Result<()> {
        self.launch(self.bare_command(options))
    }

    fn launch(&self, mut command: Command) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = self.namespace.spawn(&mut command)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while UnixStream::connect(self.socket()).is_err() {
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                let what = ended.map_or("does not answer".into(), |status| format!("{status}"));
                bail!("lvsd: {what}; its log ends with:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        *self.daemon() = Some(child);
        // It takes connections before it is ready to answer them.
        self.lvsadm("-Ln").map(drop)
    }

    /// The daemon's command line with this lab's places, for starts that are expected to fail too.
    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = self.bare_command(&[]);
        for interface in self.interfaces {
            command.args(["--interface", interface]);
        }
        command.args(options);
        command
    }

    fn bare_command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(&self.lvsd);
        command.arg("--bpffs").arg(&self.bpffs);
        command.arg("--socket").arg(self.socket());
        command.args(options);
        command
    }

    /// The folder of the data path's pins.
    pub fn pins(&self) -> &Path {
        &self.bpffs
    }

    /// The end of the daemon's log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// For a story that failed: what it did.
    pub(super) fn explain(&self) {
        for command in ["-Ln --stats", "-Lcn", "--verdicts"] {
            match self.lvsadm(command) {
                Ok(listing) => eprintln!("$ lvsadm {command}\n{listing}"),
                Err(error) => eprintln!("{error:#}"),
            }
        }
        eprintln!("lvsd's log ends with:\n{}", self.log_tail());
    }

    /// `kill -9`: the daemon has no chance to do anything.
    pub fn kill(&self) {
        if let Some(mut child) = self.daemon().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Removes the data path and whatever the daemon kept beside it, as a reboot does.
    pub fn forget(&self) -> Result<()> {
        self.kill();
        for folder in [self.bpffs.clone(), self.folder.clone()] {
            // What it kept lies beside its socket.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let kept = path.file_stem() == self.socket().file_stem();
                // A BPF file system of its own has two files of the kernel.
                let is_pin =
                    folder == self.bpffs && path.extension().is_none_or(|end| end != "debug");
                if is_pin || kept {
                    fs::remove_file(&path)
                        .with_context(|| format!("cannot remove {}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of memory that the daemon holds for itself; the maps, which it sees as memory, are the kernel's.
    pub fn memory(&self) -> Result<u64> {
        let daemon = self.daemon();
        let child = daemon.as_ref().context("lvsd does not run")?;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let mut lines = status.lines();
        let size = lines.find_map(|line| line.strip_prefix("RssAnon:"));
        let size = size.and_then(|size| size.trim().strip_suffix(" kB"));
        let kilobytes: u64 = size.context("the kernel does not tell")?.parse()?;
        Ok(kilobytes * 1024)
    }

    /// Lets the daemon do nothing at all (SIGSTOP), or go on (SIGCONT).
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let daemon = self.daemon();
        let child = daemon.as_ref().context("lvsd does not run")?;
        let signal = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
    }

    /// Limits the files that the daemon writes to so many bytes (RLIMIT_FSIZE), or not.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let daemon = self.daemon();
        let child = daemon.as_ref().context("lvsd does not run")?;
        let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let status = Command::new("prlimit")
            .args([
                "--pid",
                &child.id().to_string(),
                &format!("--fsize={bytes}:unlimited"),
            ])
            .status()?;
        ensure!(status.success(), "prlimit failed");
        Ok(())
    }

    /// Asks the daemon to end (SIGTERM) and waits until it has.
    pub fn stop(&self) -> Result<()> {
        let Some(mut child) = self.daemon().take() else {
            return Ok(());
        };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        let status = child.wait()?;
        ensure!(
            status.success(),
            "lvsd ended with {status}:\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// `kill -9` and a new start.
    pub fn restart(&self) -> Result<()> {
        self.kill();
        self.start()
    }

    /// Runs lvsadm with words separated by blanks; what it printed is returned.
    pub fn lvsadm(&self, line: &str) -> Result<String> {
        let output = self.try_lvsadm(line)?;
        ensure!(
            output.status.success(),
            "`lvsadm {line}` failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs lvsadm, however it ends.
    pub fn try_lvsadm(&self, line: &str) -> Result<Output> {
        let mut command = Command::new(&self.lvsadm);
        command
            .arg("--socket")
            .arg(self.socket())
            .args(line.split_whitespace());
        command.stdin(Stdio::null());
        command.output().context("cannot start lvsadm")
    }

    /// Changes the director by `ipvsadm -S` lines, through `lvsadm -R`.
    pub fn restore(&self, lines: &str) -> Result<()> {
        let output = self.feed("-R", lines)?;
        ensure!(
            output.status.success(),
            "`lvsadm -R` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Runs lvsadm with a text as its input, however it ends.
    pub fn feed(&self, option: &str, text: &str) -> Result<Output> {
        let file = self.folder.join("input");
        fs::write(&file, text)?;
        let mut command = Command::new(&self.lvsadm);
        command
            .arg("--socket")
            .arg(self.socket())
            .arg(option)
            .stdin(File::open(file)?);
        command.output().context("cannot start lvsadm")
    }
}

/// A program of this workspace, from the folder this one was built into.
pub fn built(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} is not built: run `cargo xtask test` or `cargo build`"))
}

/// A virtual service as ipvsadm's options name it.
pub fn service_name(protocol: Protocol, family: Family, method: Method) -> String {
    let flag = match protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    };
    let address = addresses::virtual_address(family, method);
    format!("{flag} {}", SocketAddr::new(address, RealServer::PORT))
}

/// The option for a forwarding method.
pub fn method_flag(method: Method) -> &'static str {
    match method {
        Method::Direct | Method::Local => "-g",
        Method::Nat => "-m",
        Method::Tunnel => "-i",
    }
}

/// A real server as ipvsadm's options name it.
pub fn server_name(family: Family, number: u8) -> String {
    format!(
        "-r {}",
        SocketAddr::new(addresses::server(family, number), RealServer::PORT)
    )
}

/// `ipvsadm -S` lines for one virtual service with all real servers.
pub fn service(protocol: Protocol, family: Family, method: Method, scheduler: &str) -> String {
    let service = service_name(protocol, family, method);
    let flag = method_flag(method);
    let mut lines = format!("-A {service} -s {scheduler}\n");
    for number in 1..=super::Lab::SERVERS {
        let server = server_name(family, number);
        let _ = writeln!(lines, "-a {service} {server} {flag} -w 1");
    }
    lines
}

/// Round robin over all real servers by each method, in both families, over TCP and UDP.
pub fn every_service() -> String {
    services(&[Protocol::Tcp, Protocol::Udp])
}

/// Round robin over all real servers by each method, in both families.
pub fn services(protocols: &[Protocol]) -> String {
    let mut lines = String::new();
    for (family, method) in pairs(FAMILIES, METHODS) {
        for &protocol in protocols {
            lines += &service(protocol, family, method, "rr");
        }
    }
    lines
}
