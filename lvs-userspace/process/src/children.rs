//! Children of this process: those that it started, and orphans that they left.
//!
//! What a check or a command leaves behind becomes a child of the daemon, and a zombie once it ends, unless somebody
//! asks for its exit status. In a container, where the daemon is the first process, the kernel does so anyway;
//! elsewhere [`adopt_orphans`] asks for it, so that it does not depend on the machine's init.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::process::Output;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;
use parking_lot::{Mutex, RwLock};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::warn;

/// Least time from one search for orphans to the next.
const REST: Duration = Duration::from_secs(1);

/// Children that somebody waits for: what is not in it is an orphan, while none is being started.
static AWAITED: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// Shared by those who start a child, which lasts while the disk of its file does not answer; whoever looks for orphans
/// has it alone.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a command for somebody who may have given up: then it is not started, or ended at once.
pub(crate) fn start_for(mut command: Command, answer: oneshot::Sender<io::Result<Child>>) {
    if answer.is_closed() {
        return;
    }
    let started = start(&mut command);
    // With it goes this process' copy of the writing end of its output.
    drop(command);
    if let Err(Ok(mut child)) = answer.send(started) {
        if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = child.start_kill();
    }
}

/// Starts a command by the calling thread.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTING.read();
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    AWAITED.lock().get_or_insert_default().extend(id);
    Ok(child)
}

/// Runs a command to its end, by the calling thread and with its privileges, and returns its output.
///
/// # Errors
///
/// It cannot be run.
pub fn output(command: &mut std::process::Command) -> io::Result<Output> {
    use std::process::Stdio;
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _starting = STARTING.read();
        let child = command.spawn()?;
        let id = i32::try_from(child.id()).ok();
        AWAITED.lock().get_or_insert_default().extend(id);
        child
    };
    child.wait_with_output()
}

/// Makes orphans of this process' children its own children, and asks for the exit status of those that ended, until
/// it is dropped.
///
/// # Errors
///
/// The kernel refuses it.
pub async fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(true)?;
    let mut ended = signal(SignalKind::child())?;
    loop {
        tokio::time::sleep(REST).await;
        match collect() {
            Ok(true) => {}
            // One is being started: again after a rest.
            Ok(false) => continue,
            Err(error) => {
                warn!("cannot look for processes that ended: {error}");
                return Ok(());
            }
        }
        if ended.recv().await.is_none() {
            return Ok(());
        }
    }
}

/// Asks for the exit status of every orphan that has ended; false: not now, as a child is being started.
fn collect() -> io::Result<bool> {
    let Some(_alone) = STARTING.try_write() else {
        return Ok(false);
    };
    let mut awaited = AWAITED.lock();
    let children = children()?;
    let awaited = awaited.get_or_insert_default();
    // Not by the list, which may lack children while others end (proc_pid_task(5)): asked without collecting.
    awaited.retain(|id| {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(Pid::from_raw(*id)), flags) != Err(Errno::ECHILD)
    });
    for orphan in children.difference(awaited) {
        // One that still runs is left alone.
        let _ = waitpid(Pid::from_raw(*orphan), Some(WaitPidFlag::WNOHANG));
    }
    Ok(true)
}

/// Process ids of all children of all threads.
fn children() -> io::Result<HashSet<i32>> {
    let mut children = HashSet::new();
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread that ended meanwhile left its children to another; they are found the next time.
        let Ok(list) = fs::read_to_string(thread?.path().join("children")) else {
            continue;
        };
        children.extend(
            list.split_whitespace()
                .filter_map(|id| id.parse::<i32>().ok()),
        );
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::commands::spawn;

    /// State letters of all children of this process.
    fn states() -> Vec<(i32, char)> {
        let state = |id| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            stat.rsplit(") ").next()?.chars().next()
        };
        let children = children().unwrap().into_iter();
        children.filter_map(|id| Some((id, state(id)?))).collect()
    }

    #[tokio::test]
    async fn orphans_are_collected_and_awaited_children_are_not() {
        let adopting = tokio::spawn(adopt_orphans());
        let mut awaited = Vec::new();
        for _ in 0..20 {
            // A grandchild that outlives its parent by a little, in a session of its own.
            let mut command = Command::new("/bin/sh");
            command
                .args(["-c", "setsid sleep 0.2 & exit 3"])
                .stdin(Stdio::null());
            awaited.push(spawn(command, None).await.unwrap());
        }
        // Longer than a search takes to begin: their statuses have to be there all the same.
        tokio::time::sleep(REST * 2).await;
        for child in &mut awaited {
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
        }
        let mut left = states();
        for _ in 0..200 {
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            left = states();
        }
        assert!(left.is_empty(), "{left:?}");
        adopting.abort();
    }
}
