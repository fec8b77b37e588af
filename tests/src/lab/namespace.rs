//! A network namespace by name.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lvs_api::model::Family;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command;

/// The folder in which `ip netns` keeps its names.
const NAMES: &str = "/run/netns";

/// A network namespace that `ip netns` knows by name. Whoever made it deletes it.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace.
    pub(super) fn create(name: &str) -> Result<Self> {
        command::output(Command::new("ip").args(["netns", "add", name]))?;
        Ok(Self::named(name))
    }

    /// A namespace that exists.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// All namespaces whose name starts like this.
    pub(super) fn all(prefix: &str) -> Vec<Self> {
        let Ok(names) = fs::read_dir(NAMES) else {
            return Vec::new();
        };
        names
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .map(|name| Self::named(&name))
            .collect()
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it, as `nsenter --net=` takes it. (`ip netns exec` hides the BPF
    /// file system.)
    pub fn path(&self) -> PathBuf {
        PathBuf::from(NAMES).join(&self.name)
    }

    /// Runs a function inside: sockets it opens and processes it starts belong to the namespace.
    pub fn enter<R: Send>(&self, function: impl FnOnce() -> R + Send) -> Result<R> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        // A namespace belongs to a thread: this one ends with the function.
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                Ok::<_, nix::Error>(function())
            });
            match thread.join() {
                Ok(result) => result.with_context(|| format!("cannot enter {}", path.display())),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a program inside, in a process group of its own: Ctrl-C is for the lab to handle.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
        let program = command.get_program().to_owned();
        self.enter(|| command.spawn())?
            .with_context(|| format!("cannot start {}", program.display()))
    }

    /// Runs a program inside to its end, however that may be.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(self.spawn(command)?.wait_with_output()?)
    }

    /// Runs a program inside; an unsuccessful end is an error. What it printed is returned.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(arguments);
        let output = self.output(&mut command)?;
        anyhow::ensure!(
            output.status.success(),
            "{}",
            command::failure(&command, &output)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Gives `ip` commands, one a line.
    pub fn ip(&self, lines: &str) -> Result<()> {
        command::ip_batch(&["-netns", &self.name], lines)
    }

    /// Gives `ip` commands for one family, where the addresses in them do not tell.
    pub fn ip_family(&self, family: Family, lines: &str) -> Result<()> {
        let flag = match family {
            Family::Ipv4 => "-4",
            Family::Ipv6 => "-6",
        };
        command::ip_batch(&[flag, "-netns", &self.name], lines)
    }

    /// Sets kernel parameters below `/proc/sys/net`.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (name, value) in settings {
                let path = format!("/proc/sys/net/{name}");
                fs::write(&path, value).with_context(|| format!("cannot set {path}"))?;
            }
            Ok(())
        })?
    }

    /// Ends every process inside and waits until they are gone.
    pub(super) fn kill_processes(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let processes = self.processes();
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            for process in processes {
                // It may have ended by itself meanwhile.
                let _ = kill(process, Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let listed = command::output(Command::new("ip").args(["netns", "pids", &self.name]));
        let Ok(listed) = listed else {
            return Vec::new();
        };
        String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .map(Pid::from_raw)
            .collect()
    }

    /// Deletes the name; the namespace goes when nothing uses it any more.
    pub(super) fn delete(&self) -> io::Result<()> {
        command::output(Command::new("ip").args(["netns", "del", &self.name]))
            .map(drop)
            .map_err(io::Error::other)
    }
}
