//! One host in a namespace of its own, joined to nothing: servers of any kind, and who probes them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lvs_api::model::Family;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown};

use super::namespace::Namespace;
use super::owner::Claim;
use super::requirements;
use crate::eventually;

/// How long a server may take until it answers, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// A host with servers. It goes when it is dropped, with all that runs in it.
pub struct Island {
    namespace: Namespace,
    claim: Claim,
}

impl Island {
    /// Makes one, with [`Self::address`] in both families.
    pub fn new() -> Result<Self> {
        let claim = Claim::new()?;
        let namespace = Namespace::create(&format!("{}island", claim.prefix()))?;
        let [ipv4, ipv6] = [Family::Ipv4, Family::Ipv6].map(Self::address);
        namespace.ip(&format!(
            "link set lo up\naddr add {ipv4}/32 dev lo\naddr add {ipv6}/128 dev lo\n"
        ))?;
        Ok(Self { namespace, claim })
    }

    /// For stories: an island on which these programs can run, or `None` where one is missing
    /// (see [`requirements::skipped`]).
    ///
    /// # Panics
    ///
    /// When it cannot be made: the story has failed.
    pub fn for_story(programs: &[&str]) -> Option<Self> {
        if requirements::skipped(requirements::programs(programs)) {
            return None;
        }
        Some(Self::new().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// Its address.
    pub const fn address(family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1)),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The folder of the servers' files.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// Makes a folder for a server, which runs as this user.
    pub fn make_folder(&self, name: &str, user: &str) -> Result<PathBuf> {
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder)?;
        give(&folder, user)?;
        Ok(folder)
    }

    /// Starts a server and waits until it takes TCP connections on a port.
    pub fn start(&self, program: &str, arguments: &[&str], port: u16) -> Result<Server> {
        self.start_as("root", program, arguments, |server| server.accepts(port))
    }

    /// Starts a server as a user, and waits until it is ready.
    pub fn start_as(
        &self,
        user: &str,
        program: &str,
        arguments: &[&str],
        ready: impl Fn(&Probed<'_>) -> bool,
    ) -> Result<Server> {
        let name = Path::new(program).file_name().unwrap_or_default();
        let mut log = name.to_owned();
        log.push(".log");
        let log = self.folder().join(log);
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = self.command(user, program)?;
        command
            .args(arguments)
            // vsftpd says what is wrong with its configuration to its standard input.
            .stdin(output.try_clone()?)
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut server = Server {
            child: self.spawn(&mut command)?,
            name: name.to_owned(),
        };
        let probed = Probed { island: self };
        let mut ended = None;
        let answered = eventually(PATIENCE, || {
            ended = server.child.try_wait().ok().flatten();
            ended.is_some() || ready(&probed)
        });
        let said = || fs::read_to_string(&log).unwrap_or_default();
        match ended {
            Some(status) => bail!("{program} ended ({status}): {}", said()),
            None if answered => Ok(server),
            None => bail!("{program} does not answer: {}", said()),
        }
    }

    /// Starts a program in a process group of its own, with shared memory of its own: Squid finds there
    /// what another one, which was killed, left behind, and gives up.
    fn spawn(&self, command: &mut Command) -> Result<Child> {
        command.process_group(0);
        let program = command.get_program().to_owned();
        let spawn = || -> Result<Child> {
            // Of this thread, which ends with this, and of the child.
            unshare(CloneFlags::CLONE_NEWNS)?;
            let nothing = None::<&str>;
            // Goes along with what is unmounted outside.
            let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
            mount(nothing, "/", nothing, flags, nothing)?;
            let (kind, mode) = (Some("tmpfs"), Some("mode=1777"));
            mount(kind, "/dev/shm", kind, MsFlags::empty(), mode)?;
            Ok(command.spawn()?)
        };
        self.namespace
            .enter(spawn)?
            .with_context(|| format!("cannot start {}", program.display()))
    }

    /// Runs a program to its end as a user; what it printed is returned.
    pub fn run_as(&self, user: &str, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(user, program)?;
        command.args(arguments);
        let output = self.namespace.output(&mut command)?;
        if !output.status.success() {
            bail!("{}", super::command::failure(&command, &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, user: &str, program: &str) -> Result<Command> {
        let path =
            requirements::find(program).with_context(|| format!("{program} is not installed"))?;
        let mut command = Command::new(path);
        command.current_dir(self.folder()).stdin(Stdio::null());
        if user != "root" {
            let user = account(user)?;
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Ok(command)
    }
}

/// A test that a server has started.
pub struct Probed<'a> {
    island: &'a Island,
}

impl Probed<'_> {
    /// A port accepts connections.
    pub fn accepts(&self, port: u16) -> bool {
        let address = SocketAddr::new(Island::address(Family::Ipv4), port);
        let connected = self.island.namespace.enter(|| TcpStream::connect(address));
        connected.is_ok_and(|connected| connected.is_ok())
    }

    /// A program exits with status 0.
    pub fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        self.island.run_as("root", program, arguments).is_ok()
    }
}

/// A server that runs.
pub struct Server {
    child: Child,
    name: OsString,
}

impl Server {
    /// Stops it and all its processes where they are: its sockets stay, nobody reads them.
    ///
    /// # Panics
    ///
    /// When they do not stop.
    pub fn freeze(&self) {
        let processes = self.processes();
        for process in &processes {
            let _ = kill(*process, Signal::SIGSTOP);
        }
        // A thread stops when it is next scheduled.
        let stopped = || processes.iter().copied().all(is_stopped);
        assert!(
            eventually(PATIENCE, stopped),
            "{} does not stop",
            self.name.display()
        );
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        for process in self.processes() {
            let _ = kill(process, Signal::SIGCONT);
        }
    }

    /// Ends it as an administrator would, at first asked and then made to, and waits until it and all
    /// its processes have ended.
    pub fn stop(mut self) -> Result<()> {
        let processes = self.processes();
        kill(processes[0], Signal::SIGTERM)?;
        eventually(Duration::from_secs(10), || {
            !matches!(self.child.try_wait(), Ok(None))
        });
        // Postfix' first process is a shell, which does not pass the signal on.
        for process in &processes[1..] {
            let _ = kill(*process, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let gone = || {
            let _ = self.child.try_wait();
            processes.iter().copied().all(has_ended)
        };
        if eventually(PATIENCE, gone) {
            return Ok(());
        }
        bail!("{} does not stop", self.name.display())
    }

    /// Its own process and all that descend from it.
    fn processes(&self) -> Vec<Pid> {
        let mut found = vec![self.child.id().cast_signed()];
        let parents = parents();
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            let children = parents.iter().filter(|(_, of)| *of == parent);
            found.extend(children.map(|(process, _)| process));
            next += 1;
        }
        found.into_iter().map(Pid::from_raw).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = kill(process, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// True if all threads of a process have stopped or ended.
fn is_stopped(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let mut threads = threads.into_iter().flatten().flatten();
    threads.all(|thread| matches!(state(&thread.path()), None | Some('T' | 'Z')))
}

/// True if a process has ended, also as a zombie.
fn has_ended(process: Pid) -> bool {
    let state = state(Path::new(&format!("/proc/{process}")));
    matches!(state, None | Some('Z' | 'X'))
}

/// State of a process or a thread (proc(5)), by its folder.
fn state(folder: &Path) -> Option<char> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Every process of the machine, and its parent.
fn parents() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which may hold anything: state, then parent (proc(5)).
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect()
}

/// Makes a file somebody's.
pub fn give(path: &Path, user: &str) -> Result<()> {
    let user = account(user)?;
    chown(path, Some(user.uid), Some(user.gid))
        .with_context(|| format!("cannot give {} to {}", path.display(), user.name))
}

fn account(name: &str) -> Result<User> {
    User::from_name(name)?.with_context(|| format!("there is no user {name}"))
}
