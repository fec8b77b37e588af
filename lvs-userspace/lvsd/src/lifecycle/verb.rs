//! Carries a verb out.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command_line::Verb;
use super::exit_code::{FAILED, WRONG_FILE};
use super::instance::Instance;
use super::pid_file::{Liveness, look, wait_for_end};
use super::status::{self, print_error, print_note};

/// Longest time for a daemon to withdraw everything and end.
const END: Duration = Duration::from_mins(1);

/// The rest of a verb, for the caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<F> {
    /// End the program with this exit code.
    Exit(u8),
    /// Run the daemon on this file, read as this.
    Start(PathBuf, F),
}

/// The reason why a daemon has not read its file again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotReloaded {
    /// All that is wrong with the file.
    Wrong(String),
    /// It does not answer: what becomes of the file is unknown.
    Silent(String),
}

/// The daemon as the verbs use it.
pub(crate) trait Daemon {
    /// A configuration file that was read.
    type File;

    /// Reads a file; an error lists all that is wrong with it.
    fn read(&self, path: &Path) -> Result<Self::File, String>;

    /// Makes the running daemon `pid` read its file again; `None` if no daemon of ours with this pid answers.
    fn reload(&self, pid: u32) -> Option<Result<(), NotReloaded>>;

    /// Makes the running daemon `pid` give its virtual addresses up; what it did, if it held any.
    fn step_down(&self, pid: u32) -> Option<String>;
}

/// Carries a verb out as far as it needs no new daemon.
pub(crate) fn run<D: Daemon>(
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
    // A running daemon is stopped and shown, whatever became of its file.
    match (verb, running) {
        (Verb::Stop, Some(pid)) => {
            if let Some(done) = daemon.step_down(pid) {
                print_note(&done);
            }
            return end(pid, Signal::SIGTERM, &pid_file).map(Next::Exit);
        }
        (Verb::Status, Some(pid)) => {
            status::print_running(instance, found.as_deref(), pid);
            return Ok(Next::Exit(0));
        }
        (Verb::Start, Some(_)) => return Ok(Next::Exit(0)),
        _ => {}
    }
    let Some(path) = found else {
        print_error(&format!("Config file {} not found", instance.argument()));
        return Ok(Next::Exit(FAILED));
    };
    match (verb, running) {
        (Verb::Stop | Verb::TryRestart, None) => return Ok(Next::Exit(0)),
        (Verb::Reload, None) => return Ok(Next::Exit(FAILED)),
        (Verb::Status, _) => return status::print_stopped(&path, &pid_file).map(Next::Exit),
        _ => {}
    }
    let file = match daemon.read(&path) {
        Ok(file) => file,
        Err(error) => {
            print_error(&error);
            return Ok(Next::Exit(WRONG_FILE));
        }
    };
    Ok(match (verb, running) {
        (Verb::Reload, Some(pid)) => Next::Exit(reload(pid, daemon)?),
        (_, Some(pid)) => match end(pid, end_signal(pid, daemon), &pid_file)? {
            0 => Next::Start(path, file),
            code => Next::Exit(code),
        },
        (_, None) => Next::Start(path, file),
    })
}

/// The signal that ends a daemon whose successor runs on the same file.
///
/// A daemon that has applied the file as it is now leaves services and connections as they are: the successor
/// adopts them, and no packet is lost. Any other (ldirectord itself, above all) withdraws everything.
fn end_signal(pid: u32, daemon: &impl Daemon) -> Signal {
    match daemon.reload(pid) {
        Some(Ok(())) => Signal::SIGUSR2,
        _ => Signal::SIGTERM,
    }
}

/// Ends a daemon and waits until it has ended; the exit code.
fn end(pid: u32, signal: Signal, pid_file: &Path) -> io::Result<u8> {
    match kill(process(pid)?, signal) {
        // It ended by itself just now.
        Ok(()) | Err(nix::Error::ESRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    if wait_for_end(pid_file, END)? {
        return Ok(0);
    }
    print_error(&format!(
        "the daemon with pid {pid} has not ended after {} s",
        END.as_secs()
    ));
    Ok(FAILED)
}

/// Makes a daemon read its file again; the exit code.
fn reload(pid: u32, daemon: &impl Daemon) -> io::Result<u8> {
    match daemon.reload(pid) {
        Some(Ok(())) => Ok(0),
        Some(Err(NotReloaded::Wrong(errors))) => {
            print_error(&errors);
            Ok(WRONG_FILE)
        }
        Some(Err(NotReloaded::Silent(error))) => {
            print_error(&error);
            Ok(FAILED)
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
