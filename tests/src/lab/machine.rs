//! A whole machine: beside its network it has a host name, processes and a file system of its own.
//!
//! Programs that take a machine for theirs (a cluster manager, an init script) run in it as they are
//! packaged: they write to `/etc`, `/var` and `/run`, count on their process ids, and ask for the host's
//! name. What they write lies in layers over the real folders, stays when the machine crashes, and goes with
//! the lab.
//!
//! Nothing of the real machine can be written from inside: see `boot.sh`, and the capabilities that are left.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::{Mutex, MutexGuard};

use super::namespace::Namespace;
use crate::eventually;

/// How long a machine may take to be gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Folders that a machine writes to and that outlast a crash.
const LAYERS: [&str; 3] = ["etc", "usr", "var"];

const BOOT: &str = include_str!("boot.sh");

/// Root's capabilities in a machine: its own files, processes and network, and the director's programs. No
/// mounts, no devices, no reboot, no clock, no modules, no real-time.
const CAPABILITIES: &str = "-all,+chown,+dac_override,+dac_read_search,+fowner,+fsetid,+kill,+setgid,\
    +setuid,+setpcap,+net_bind_service,+net_broadcast,+net_admin,+net_raw,+sys_chroot,+setfcap,\
    +audit_write,+bpf,+perfmon";

/// A machine, off until it is booted.
pub struct Machine {
    name: String,
    namespace: Namespace,
    installed: PathBuf,
    disk: PathBuf,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    /// The first process, by its number outside.
    init: i32,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Did it succeed?
    pub success: bool,
    /// Its exit code, if no signal ended it.
    pub code: Option<i32>,
    /// Both outputs.
    pub said: String,
}

impl Machine {
    /// A machine with the network of a namespace. Over the real folders lie those in `installed`, and
    /// over these what the machine writes itself.
    pub(super) fn new(
        name: &str,
        namespace: Namespace,
        installed: &Path,
        folder: &Path,
    ) -> Result<Self> {
        let disk = folder.join(name);
        for layer in LAYERS {
            fs::create_dir_all(disk.join(layer))?;
            fs::create_dir_all(disk.join(format!("work-{layer}")))?;
            fs::create_dir_all(installed.join(layer))?;
        }
        Ok(Self {
            name: name.to_owned(),
            namespace,
            installed: installed.to_owned(),
            disk,
            running: Mutex::new(None),
        })
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True while the machine runs.
    pub fn is_on(&self) -> bool {
        self.running().is_some()
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock()
    }

    fn init(&self) -> Result<i32> {
        match &*self.running() {
            Some(running) => Ok(running.init),
            None => bail!("{} is off", self.name),
        }
    }

    /// Starts it.
    pub fn boot(&self) -> Result<()> {
        let log = self.disk.join("boot.log");
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
        ]);
        command.args(["sh", "-c", BOOT, "sh", &self.name]);
        command
            .arg(&self.installed)
            .arg(&self.disk)
            .arg(CAPABILITIES);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log)?);
        let mut child = self.namespace.spawn(&mut command)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let init = child_of(&child);
        if line != "up\n" {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{}: {}", self.name, fs::read_to_string(&log)?);
        }
        let init = init.context("a machine has a first process")?;
        *self.running() = Some(Running { child, init });
        Ok(())
    }

    /// All its processes are killed at once; its disk stays.
    pub fn crash(&self) -> Result<()> {
        let Some(Running { mut child, init }) = self.running().take() else {
            return Ok(());
        };
        // The first process goes with the one that made it, and every other one with the first.
        child.kill()?;
        child.wait()?;
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{init}/stat")).unwrap_or_default();
            // After the name: the state. It may wait for a parent to hear of its end.
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
        };
        ensure!(eventually(PATIENCE, gone), "{} does not go down", self.name);
        Ok(())
    }

    /// Runs a line of shell to its end. What it leaves in the background stays.
    pub fn run(&self, line: &str) -> Result<Ended> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init()?));
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid"]);
        // Not the namespace's own root: where this process lives in a changed root, that is what lies
        // outside of it.
        command.args(["--root", "--wd", "--"]);
        command.args(["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps=-all"]);
        command.args(SHELL).arg(line);
        ended(&mut command)
    }

    /// Runs a line of shell that has to succeed; what it said is returned.
    pub fn does(&self, line: &str) -> Result<String> {
        let ended = self.run(line)?;
        ensure!(ended.success, "{}# {line}: {ended:?}", self.name);
        Ok(ended.said)
    }

    /// A path of the machine, as it is seen from outside.
    pub fn seen(&self, path: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root{path}", self.init()?)))
    }

    /// Writes a file, as the machine sees it.
    pub fn write(&self, path: &str, content: &str, mode: u32) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        // Through the machine's own view: what lies under a layer must not change.
        let path = self.seen(path)?;
        let folder = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.crash() {
            eprintln!("lab: {error:#}");
        }
    }
}

/// A shell as root has it after a login, without what this process was started with.
const SHELL: [&str; 7] = [
    "env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C",
    "sh",
    "-c",
];

/// Runs a line of shell in a network namespace to its end.
pub(super) fn shell(namespace: &Namespace, line: &str) -> Result<Ended> {
    let mut command = Command::new(SHELL[0]);
    command.args(&SHELL[1..]).arg(line);
    namespace.enter(|| ended(&mut command))?
}

/// Waits for the command, not for those who inherited its output.
fn ended(command: &mut Command) -> Result<Ended> {
    let mut output = tempfile::tempfile()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut said = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut said)?;
    Ok(Ended {
        success: status.success(),
        code: status.code(),
        said: String::from_utf8_lossy(&said).into_owned(),
    })
}

fn child_of(process: &Child) -> Option<i32> {
    let id = process.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
