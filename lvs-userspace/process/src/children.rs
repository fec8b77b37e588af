//! Children of this process: those that it started, and orphans that they left.
//!
//! What a check or a command leaves behind becomes a child of the daemon, and a zombie once it ends, unless somebody
//! asks for its exit status. In a container, where the daemon is the first process, the kernel does so anyway;
//! elsewhere [`adopt_orphans`] asks for it, before the first command starts, so that it does not depend on the machine's
//! init.
//!
//! An orphan of a health check is ended, as each probe would leave one more, but not before those checks have ended that
//! ran when it was found. One of a command that acts on the system is left alone: it may be what the command was to
//! start. The two are told apart by the user and by the number of system call filters: a command of the system that
//! runs as the check user and sets a filter of its own counts as a check's. An orphan of `checkuser = root` is left
//! alone, as all are where the daemon is not root.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::process::Output;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpgid};
use parking_lot::{Mutex, RwLock};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::seccomp::Traits;

/// Searches for what checks left at the end of the daemon, at most, and the time from one to the next.
const LAST_SEARCHES: u32 = 50;
const LAST_REST: Duration = Duration::from_millis(10);

/// Least time from one search for orphans to the next.
const REST: Duration = Duration::from_secs(1);

/// All that is known of this process' children.
static CHILDREN: Mutex<Option<Children>> = Mutex::new(None);

/// Shared by those who start a child, which lasts while the disk of its file does not answer; whoever looks for orphans
/// has it alone.
static STARTING: RwLock<()> = RwLock::new(());

#[derive(Debug, Default)]
struct Children {
    /// Those that somebody waits for, by the number of commands started before: any other is an orphan, while none is
    /// being started.
    awaited: HashMap<i32, u64>,
    /// Number of commands that were started.
    started: u64,
    /// Users that checks ran as, but root.
    check_users: HashSet<u32>,
    /// Orphans of checks, by the number of commands that had been started when they were found.
    orphans: HashMap<i32, u64>,
}

impl Children {
    fn started(&mut self, id: Option<u32>) {
        let id = id.and_then(|id| i32::try_from(id).ok());
        self.awaited.extend(id.map(|id| (id, self.started)));
        self.started += 1;
    }

    /// True if a process descends from the command of a check.
    fn is_of_check(&self, id: i32) -> bool {
        let found = Traits::of(id);
        found.is_some_and(|it| it.has_filter() && self.check_users.contains(&it.user))
    }

    /// Of the orphans of checks that run now, those that no check can need that still runs.
    fn done_with(&mut self, running: &HashSet<i32>) -> Vec<i32> {
        self.orphans.retain(|id, _| running.contains(id));
        for id in running {
            self.orphans.entry(*id).or_insert(self.started);
        }
        let oldest = self.awaited.values().min().copied().unwrap_or(u64::MAX);
        let done = self.orphans.iter().filter(|(_, found)| oldest >= **found);
        done.map(|(id, _)| *id).collect()
    }
}

/// From now on orphans of this user may be those of checks.
pub(crate) fn add_check_user(user: u32) {
    let mut all = CHILDREN.lock();
    all.get_or_insert_default().check_users.insert(user);
}

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
    let mut all = CHILDREN.lock();
    all.get_or_insert_default().started(child.id());
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
        let mut all = CHILDREN.lock();
        all.get_or_insert_default().started(Some(child.id()));
        child
    };
    child.wait_with_output()
}

/// Makes orphans of this process' children its own children, from now on.
///
/// # Errors
///
/// The kernel refuses it.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(true)?)
}

/// Ends the orphans of health checks, and asks for the exit status of those that ended, until it is dropped.
///
/// # Errors
///
/// There is no signal when a child ends.
pub async fn collect_orphans() -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    loop {
        tokio::time::sleep(REST).await;
        match collect() {
            Ok(Found::Nothing) => {}
            // Again after a rest.
            Ok(Found::Busy | Found::OfChecks) => continue,
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

/// The outcome of a search for orphans.
enum Found {
    /// A child is being started: there was no search.
    Busy,
    /// Orphans of checks, which run.
    OfChecks,
    Nothing,
}

/// Asks for the exit status of every orphan that has ended, and ends those of checks.
fn collect() -> io::Result<Found> {
    let Some(_alone) = STARTING.try_write() else {
        return Ok(Found::Busy);
    };
    let mut all = CHILDREN.lock();
    let listed = children()?;
    let all = all.get_or_insert_default();
    // Not by the list, which may lack children while others end (proc_pid_task(5)): asked without collecting.
    all.awaited.retain(|id, _| {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(Pid::from_raw(*id)), flags) != Err(Errno::ECHILD)
    });
    let orphans = listed.into_iter();
    let orphans = orphans.filter(|id| !all.awaited.contains_key(id));
    let running: HashSet<i32> = orphans
        .filter(|id| runs(*id) && all.is_of_check(*id))
        .collect();
    for id in all.done_with(&running) {
        end(Pid::from_raw(id));
    }
    Ok(if running.is_empty() {
        Found::Nothing
    } else {
        Found::OfChecks
    })
}

/// Ends whatever is left of health checks: for the end of the daemon, when none is to run any more.
pub fn end_checks() {
    for _ in 0..LAST_SEARCHES {
        let all = CHILDREN.lock();
        let (Some(all), Ok(listed)) = (&*all, children()) else {
            return;
        };
        let running = listed.into_iter();
        let running = running.filter(|id| runs(*id) && all.is_of_check(*id));
        // The children of those that end are found the next time.
        if running.map(|id| end(Pid::from_raw(id))).count() == 0 {
            return;
        }
        thread::sleep(LAST_REST);
    }
}

/// True if a child runs; the exit status of one that has ended is asked for.
fn runs(child: i32) -> bool {
    let asked = waitpid(Pid::from_raw(child), Some(WaitPidFlag::WNOHANG));
    asked == Ok(WaitStatus::StillAlive)
}

/// Ends an orphan, with its process group if it leads one. It is a child whose status nobody has asked for: the number
/// is its own.
fn end(orphan: Pid) {
    let ended = if getpgid(Some(orphan)) == Ok(orphan) {
        killpg(orphan, Signal::SIGKILL)
    } else {
        kill(orphan, Signal::SIGKILL)
    };
    match ended {
        Ok(()) => debug!("process {orphan}, left behind by a health check, is ended"),
        Err(error) => debug!("process {orphan}, left behind by a health check, goes on: {error}"),
    }
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
        adopt_orphans().unwrap();
        let adopting = tokio::spawn(collect_orphans());
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

    #[test]
    fn an_orphan_of_a_check_is_ended_once_no_check_can_need_it() {
        let mut all = Children::default();
        let done_with = |all: &mut Children, running: &[i32]| {
            let mut done = all.done_with(&running.iter().copied().collect());
            done.sort_unstable();
            done
        };
        all.started(Some(1));
        assert_eq!(done_with(&mut all, &[10]), []);
        // A check that begins later does not hold it up.
        all.started(Some(2));
        assert_eq!(done_with(&mut all, &[10, 11]), []);
        all.awaited.remove(&1);
        assert_eq!(done_with(&mut all, &[10, 11]), [10]);
        all.awaited.remove(&2);
        assert_eq!(done_with(&mut all, &[10, 11]), [10, 11]);
        all.started(Some(3));
        // The number is another process' now.
        assert_eq!(done_with(&mut all, &[]), []);
        assert_eq!(done_with(&mut all, &[10]), []);
    }
}
