//! The pid file of a daemon, and whether it is alive.
//!
//! A daemon holds a lock on its pid file as long as it lives. The lock shows what a number in a file cannot:
//! that the very daemon still runs, and its number did not go to another process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Longest wait for others that hold the lock to look at the file, or are about to write into it.
const MOMENT: Duration = Duration::from_secs(2);

/// State of a daemon by its pid file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It runs, with this process id.
    Running(u32),
    /// There is no pid file.
    Stopped,
    /// It ended without removing the pid file.
    Stale,
}

/// The pid file of this process; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    lock: Flock<File>,
}

impl PidFile {
    /// Creates the pid file, or takes over a stale one; none if another daemon holds it.
    pub(crate) fn claim(path: &Path) -> io::Result<Option<Self>> {
        let Some(mut claimed) = Self::hold(path, 0o644)? else {
            return Ok(None);
        };
        claimed.write()?;
        Ok(Some(claimed))
    }

    /// The same, without a number in it, for nobody else: whoever may read a file may lock it, too.
    pub(crate) fn lock(path: &Path) -> io::Result<Option<Self>> {
        Self::hold(path, 0o600)
    }

    fn hold(path: &Path, mode: u32) -> io::Result<Option<Self>> {
        let deadline = Instant::now() + MOMENT;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(mode)
                .open(path)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // The holder may have removed it in between: then this is a file without a name.
                Ok(lock) if !is_at(&lock, path) => {}
                Ok(lock) => {
                    let path = path.to_owned();
                    return Ok(Some(Self { path, lock }));
                }
                Err((_, Errno::EWOULDBLOCK)) if Instant::now() > deadline => return Ok(None),
                Err((_, Errno::EWOULDBLOCK)) => thread::sleep(Duration::from_millis(10)),
                Err((_, errno)) => return Err(errno.into()),
            }
        }
    }

    /// Writes the number of this process.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        writeln!(self.lock, "{}", std::process::id())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The lock still holds: the file is this process's.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Finds out whether the daemon of a pid file is alive.
pub(crate) fn look(path: &Path) -> io::Result<Liveness> {
    let deadline = Instant::now() + MOMENT;
    loop {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Liveness::Stopped),
            opened => opened?,
        };
        let mut text = String::new();
        (&file).take(64).read_to_string(&mut text)?;
        let pid = text.trim().parse().ok();
        // Shared: others may look at the same time.
        match (Flock::lock(file, FlockArg::LockSharedNonblock), pid) {
            (Err((_, Errno::EWOULDBLOCK)), Some(pid)) => return Ok(Liveness::Running(pid)),
            (Err((_, Errno::EWOULDBLOCK)), None) if Instant::now() < deadline => {
                // Its owner has it, and is about to write.
                thread::sleep(Duration::from_millis(10));
            }
            (Err((_, errno)), _) => return Err(errno.into()),
            (Ok(_), Some(pid)) if is_foreign_ldirectord(pid) => return Ok(Liveness::Running(pid)),
            (Ok(_), _) => return Ok(Liveness::Stale),
        }
    }
}

/// Waits until the daemon of a pid file has ended; false if it has not within `limit`.
pub(super) fn wait_for_end(path: &Path, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    while let Liveness::Running(_) = look(path)? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// True for a process that is ldirectord itself, which this director replaces. It locks nothing, but can be
/// shown, stopped and replaced by a restart all the same.
fn is_foreign_ldirectord(pid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let program = fs::read_link(process.join("exe")).unwrap_or_default();
    // A pid that now belongs to another daemon of ours, called by that name.
    if std::env::current_exe().is_ok_and(|own| own == program) {
        return false;
    }
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| {
        // It may have set its name to `ldirectord` with more after a blank.
        let word = String::from_utf8_lossy(word);
        let word = word.split(' ').next().unwrap_or_default();
        Path::new(word)
            .file_name()
            .is_some_and(|name| name == "ldirectord")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_held_pid_file_names_its_daemon_and_vanishes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        assert_eq!(look(&path).unwrap(), Liveness::Stopped);
        let held = PidFile::claim(&path).unwrap().unwrap();
        assert_eq!(look(&path).unwrap(), Liveness::Running(std::process::id()));
        assert!(PidFile::claim(&path).unwrap().is_none());
        assert!(!wait_for_end(&path, Duration::ZERO).unwrap());
        drop(held);
        assert_eq!(look(&path).unwrap(), Liveness::Stopped);
        assert!(wait_for_end(&path, Duration::ZERO).unwrap());
    }

    #[test]
    fn a_pid_file_without_a_lock_is_stale_even_if_another_process_has_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // A process that lives: this one.
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(look(&path).unwrap(), Liveness::Stale);
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(look(&path).unwrap(), Liveness::Stale);
        let claimed = PidFile::claim(&path).unwrap();
        assert!(claimed.is_some());
        assert_eq!(look(&path).unwrap(), Liveness::Running(std::process::id()));
    }

    #[test]
    fn ldirectord_itself_is_known_by_its_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let mut sleep = Command::new("sleep");
        let mut child = sleep
            .arg0("/usr/sbin/ldirectord")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // A process that has just begun has no command line for a moment.
        while fs::read(format!("/proc/{}/cmdline", child.id()))
            .unwrap()
            .is_empty()
        {
            thread::yield_now();
        }
        fs::write(&path, child.id().to_string()).unwrap();
        let running = look(&path);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(running.unwrap(), Liveness::Running(child.id()));
        assert_eq!(look(&path).unwrap(), Liveness::Stale);
    }
}
