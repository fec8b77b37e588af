//! Which lab belongs to which process, and the removal of what belongs to none.
//!
//! A lab's folder below [`ROOT`] holds a lock as long as its process lives, however that ends. A
//! folder whose lock is free is a leftover: its processes, namespaces and pins are removed by name.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use parking_lot::{Mutex, MutexGuard};
use tokio::signal::unix::{SignalKind, signal};

use super::namespace::Namespace;

const ROOT: &str = "/run/lvs-lab";

/// How this process ends on a signal; the convention of shells is 128 and the number of SIGINT.
static EXIT_CODE: AtomicI32 = AtomicI32::new(130);

/// Ends this process with another code than a shell's for SIGINT when a signal takes its labs down.
pub fn exit_code_on_signal(code: i32) {
    EXIT_CODE.store(code, Ordering::Relaxed);
}

/// The labs of this process, for the signal handler.
static LIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<String>> {
    LIVE.lock()
}

/// A lab's name and folder while it lives. Dropping it removes everything of that name.
pub(super) struct Claim {
    id: String,
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Claim {
    /// Takes a new name, after removing what killed labs left behind.
    pub(super) fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        on_signal_close_all();
        let _gate = gate()?;
        remove_leftovers()?;
        let id = format!(
            "{}-{}",
            process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let folder = Path::new(ROOT).join(&id);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = try_lock(&folder)?.context("a new lab's lock is held by someone else")?;
        live().insert(id.clone());
        let claim = Self {
            id,
            folder,
            _lock: lock,
        };
        // The daemon's pins lie in a file system of the lab's own, which goes with the lab.
        let bpffs = claim.folder.join("bpf");
        fs::create_dir(&bpffs)?;
        mount(
            Some("bpf"),
            &bpffs,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("cannot mount a BPF file system on {}", bpffs.display()))?;
        Ok(claim)
    }

    /// The prefix of the names of the lab's namespaces.
    pub(super) fn prefix(&self) -> String {
        prefix(&self.id)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the signal handler removes labs it holds this lock: whoever fails because a lab
        // vanished under it waits here and cannot end the process half-way.
        let mut live = live();
        remove(&self.id);
        live.remove(&self.id);
    }
}

/// Removes what killed labs left behind; says which.
pub fn close_leftovers() -> Result<Vec<String>> {
    let _gate = gate()?;
    remove_leftovers()
}

fn prefix(id: &str) -> String {
    format!("lvs-lab-{id}-")
}

/// Only one process at a time makes labs or looks for leftovers: a lab half made looks like one.
fn gate() -> Result<Flock<File>> {
    fs::create_dir_all(ROOT).with_context(|| format!("cannot make {ROOT}"))?;
    let file = open_lock(&Path::new(ROOT).join("lock"))
        .with_context(|| format!("cannot open the lock in {ROOT}"))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("cannot lock {ROOT}"))
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

/// The lock of a lab's folder, if its owner does not hold it. A folder that is gone has an owner who
/// is ending it: a lab that ends waits for no gate.
fn try_lock(folder: &Path) -> Result<Option<Flock<File>>> {
    let path = folder.join("lock");
    match open_lock(&path) {
        Ok(file) => Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
    }
}

fn remove_leftovers() -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(ROOT)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        if try_lock(&entry.path())?.is_some() {
            let id = entry.file_name().to_string_lossy().into_owned();
            remove(&id);
            removed.push(id);
        }
    }
    Ok(removed)
}

/// Removes a lab by its name alone: works for one that is half made or half removed as well.
fn remove(id: &str) {
    let namespaces = Namespace::all(&prefix(id));
    for namespace in &namespaces {
        namespace.kill_processes();
    }
    let folder = Path::new(ROOT).join(id);
    // Not mounted if the lab got no further; the pins in it keep the data path attached.
    let _ = umount2(&folder.join("bpf"), MntFlags::MNT_DETACH);
    for namespace in &namespaces {
        if let Err(error) = namespace.delete() {
            eprintln!("lab: cannot delete namespace {}: {error}", namespace.name());
        }
    }
    if let Err(error) = fs::remove_dir_all(&folder) {
        eprintln!("lab: cannot remove {}: {error}", folder.display());
    }
}

/// From the first lab on, Ctrl-C and SIGTERM take this process's labs down before it ends.
fn on_signal_close_all() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(|| {
            if let Err(error) = wait_for_signal() {
                eprintln!("lab: Ctrl-C will leave namespaces behind: {error}");
                return;
            }
            let labs = live();
            for id in labs.iter() {
                remove(id);
            }
            process::exit(EXIT_CODE.load(Ordering::Relaxed));
        });
    });
}

fn wait_for_signal() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_that_ended_meanwhile_is_no_leftover() {
        let gone = Path::new(ROOT).join("of-nobody");
        assert!(try_lock(&gone).unwrap().is_none());
    }
}
