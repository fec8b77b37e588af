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

use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::system_commands;
use crate::user::User;

/// Least time from one search for orphans to the next.
const REST: Duration = Duration::from_secs(1);

/// Children that somebody waits for. Locked while one is started: what is not in it is an orphan.
static AWAITED: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// Starts a command as a user with no privileges beyond that user's; as root: with those that the daemon was started
/// with; without one: with those of the calling thread. The caller waits for its end.
///
/// # Errors
///
/// It cannot be started.
pub async fn spawn(mut command: Command, user: Option<&User>) -> io::Result<Child> {
    match user {
        None => start(&mut command),
        Some(root) if root.is_root() => system_commands::spawn(command).await,
        Some(user) => {
            user.apply(&mut command);
            start(&mut command)
        }
    }
}

/// Starts a command by the calling thread.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    let mut awaited = AWAITED.lock();
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    awaited.get_or_insert_default().extend(id);
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
        let mut awaited = AWAITED.lock();
        let child = command.spawn()?;
        let id = i32::try_from(child.id()).ok();
        awaited.get_or_insert_default().extend(id);
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
        if let Err(error) = collect() {
            warn!("cannot look for processes that ended: {error}");
            return Ok(());
        }
        if ended.recv().await.is_none() {
            return Ok(());
        }
    }
}

/// Asks for the exit status of every orphan that has ended.
fn collect() -> io::Result<()> {
    let mut awaited = AWAITED.lock();
    let children = children()?;
    let awaited = awaited.get_or_insert_default();
    awaited.retain(|id| children.contains(id));
    for orphan in children.difference(awaited) {
        // One that still runs is left alone.
        let _ = waitpid(Pid::from_raw(*orphan), Some(WaitPidFlag::WNOHANG));
    }
    Ok(())
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
