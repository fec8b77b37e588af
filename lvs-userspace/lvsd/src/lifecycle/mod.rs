//! The verbs of an init script, for the daemon of one file: ldirectord's, with its texts and its exit
//! codes.
//!
//! | verb | running | not running | stale pid file |
//! |---|---|---|---|
//! | `start` | 0, nothing is done | starts, 0 when the tables are set | starts |
//! | `stop` | ends it, 0 when it has ended | 0 | 0 |
//! | `restart` | ends it, starts | starts | starts |
//! | `try-restart` | ends it, starts | 0 | 0 |
//! | `reload`, `force-reload` | 0 when the file is in effect, 2 if it is wrong | 1 | 1 |
//! | `status` | 0 | 3 | 1 |
//!
//! No file is 1, a wrong file 2, a wrong command line 255. Here is where it is better than ldirectord on
//! purpose: `start` and `stop` return when it is done; `reload` tells whether the file was taken; `start`,
//! `stop` and `status` do not ask whether a file that a daemon runs on is still right; a restart with
//! a wrong file ends nothing; and one with a right file loses no packet.

mod detach;
mod instance;
mod pid_file;
mod verb;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

pub(crate) use self::detach::{Detached, launch};
pub(crate) use self::instance::Instance;
pub(crate) use self::pid_file::{Liveness, PidFile, look};
pub(crate) use self::verb::{Order, Verb};

/// Exit code: something could not be done.
pub(crate) const FAILED: u8 = 1;
/// Exit code: the file is wrong.
pub(crate) const WRONG_FILE: u8 = 2;
/// Exit code of `status`: it does not run.
pub(crate) const NOT_RUNNING: u8 = 3;
/// Exit code: the command line is wrong.
pub(crate) const USAGE: u8 = 255;

/// How long a daemon may take to withdraw everything and end.
const END: Duration = Duration::from_mins(1);

/// What is left to do once a verb has been carried out so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<F> {
    /// Nothing: the program ends with this code.
    Exit(u8),
    /// The daemon is to run on this file, which says this.
    Start(PathBuf, F),
}

/// What the verbs need to know of the daemon and of its files.
pub(crate) trait Daemon {
    /// What a file says.
    type File;

    /// Reads a file, or tells what is wrong with it, for people.
    fn check(&self, path: &Path) -> Result<Self::File, String>;

    /// Asks the running daemon `pid` to read its file again. `None` if it cannot be asked.
    fn reload(&self, pid: u32) -> Option<Result<(), String>>;
}

/// Carries a verb out.
pub(crate) fn carry_out<D: Daemon>(
    verb: Verb,
    instance: &Instance,
    daemon: &D,
) -> io::Result<Next<D::File>> {
    let pid_file = instance.pid_file();
    let running = match look(&pid_file)? {
        Liveness::Running(pid) => Some(pid),
        Liveness::Stopped | Liveness::Stale => None,
    };
    let found = instance.find();
    // What runs is stopped and told about, whatever became of its file.
    match (verb, running) {
        (Verb::Stop, Some(pid)) => {
            return end(pid, Signal::SIGTERM, &pid_file).map(Next::Exit);
        }
        (Verb::Status, Some(pid)) => {
            let file = shown(instance, found.as_deref());
            tell_running(&format!("ldirectord for {file} is running with pid: {pid}"));
            return Ok(Next::Exit(0));
        }
        (Verb::Start, Some(_)) => return Ok(Next::Exit(0)),
        _ => {}
    }
    let Some(path) = found else {
        complain(&format!("Config file {} not found", instance.argument()));
        return Ok(Next::Exit(FAILED));
    };
    match (verb, running) {
        (Verb::Stop | Verb::TryRestart, None) => return Ok(Next::Exit(0)),
        (Verb::Reload, None) => return Ok(Next::Exit(FAILED)),
        (Verb::Status, _) => return tell_stopped(&path, &pid_file).map(Next::Exit),
        _ => {}
    }
    let file = match daemon.check(&path) {
        Ok(file) => file,
        Err(error) => {
            complain(&error);
            return Ok(Next::Exit(WRONG_FILE));
        }
    };
    Ok(match (verb, running) {
        (Verb::Reload, Some(pid)) => Next::Exit(reload(pid, daemon)?),
        (_, Some(pid)) => match end(pid, parting(pid, daemon), &pid_file)? {
            0 => Next::Start(path, file),
            code => Next::Exit(code),
        },
        (_, None) => Next::Start(path, file),
    })
}

/// How a daemon is ended whose successor goes by the same file.
///
/// One that has taken the file as it is now leaves its services and connections as they are: the successor
/// adopts them, and not a packet is lost. Any other (ldirectord itself, above all) withdraws everything.
fn parting(pid: u32, daemon: &impl Daemon) -> Signal {
    match daemon.reload(pid) {
        Some(Ok(())) => Signal::SIGUSR2,
        _ => Signal::SIGTERM,
    }
}

/// Asks a daemon to end, and waits until it has.
fn end(pid: u32, signal: Signal, pid_file: &Path) -> io::Result<u8> {
    match kill(process(pid)?, signal) {
        // It ended by itself just now.
        Ok(()) | Err(nix::Error::ESRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    if pid_file::wait_for_end(pid_file, END)? {
        return Ok(0);
    }
    complain(&format!(
        "the daemon with pid {pid} has not ended after {} s",
        END.as_secs()
    ));
    Ok(FAILED)
}

fn reload(pid: u32, daemon: &impl Daemon) -> io::Result<u8> {
    match daemon.reload(pid) {
        Some(Ok(())) => Ok(0),
        Some(Err(error)) => {
            complain(&error);
            Ok(WRONG_FILE)
        }
        // ldirectord itself, or one that listens elsewhere.
        None => {
            kill(process(pid)?, Signal::SIGHUP)?;
            Ok(0)
        }
    }
}

fn process(pid: u32) -> io::Result<Pid> {
    match i32::try_from(pid) {
        // 0 and negative numbers would be groups of processes.
        Ok(number) if number > 0 => Ok(Pid::from_raw(number)),
        _ => Err(io::Error::other(format!("{pid} is no process id"))),
    }
}

/// The file of a running daemon, as far as it can be told.
fn shown(instance: &Instance, found: Option<&Path>) -> String {
    found.map_or_else(
        || instance.argument().to_owned(),
        |path| path.display().to_string(),
    )
}

fn tell_stopped(path: &Path, pid_file: &Path) -> io::Result<u8> {
    let stale = look(pid_file)? == Liveness::Stale;
    let file = path.display();
    if stale {
        complain(&format!(
            "ldirectord stale pid file {} for {file}",
            pid_file.display()
        ));
    }
    tell(&format!("ldirectord is stopped for {file}"));
    Ok(if stale { FAILED } else { NOT_RUNNING })
}

/// ldirectord says on the error output that it runs; Heartbeat judges by the standard output. Both hear
/// it, and who has both on one terminal hears it once.
fn tell_running(line: &str) {
    tell(line);
    let same = match (fstat(io::stdout()), fstat(io::stderr())) {
        (Ok(out), Ok(err)) => (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino),
        _ => false,
    };
    if !same {
        complain(line);
    }
}

fn tell(line: &str) {
    // If this cannot be written there is no other place to say so; the exit code tells as well.
    drop(writeln!(io::stdout(), "{line}"));
}

fn complain(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
