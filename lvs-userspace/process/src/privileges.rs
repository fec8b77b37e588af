//! The privileges of the daemon once it runs.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, drop as drop_cap, has_cap, raise, read, set};
use nix::sys::prctl::set_no_new_privs;
use tracing::{debug, warn};

use crate::seccomp;

/// Capabilities to start a command as another user, and to end it.
const OTHER_USERS: [Capability; 3] = [
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
];

/// Capability without which the verifier takes no program that computes with pointers (`bpf_allow_ptr_leaks`).
const LOADS_PROGRAMS: Capability = Capability::CAP_PERFMON;

/// From now on neither this thread, nor those that it makes, nor their children gain privileges by executing a file:
/// setuid bits and capabilities of files have no effect.
///
/// # Errors
///
/// The kernel refuses it.
pub fn gain_none() -> Result<()> {
    set_no_new_privs().context("cannot forbid new privileges")
}

/// Gives up every capability but those that a running daemon needs: to use the maps, to follow next
/// hops, to hold virtual addresses and announce them, to probe servers through raw sockets (see
/// `health::probe`: the one for pings that takes no privilege is closed by default), and to run
/// commands of health checks as another user; one that loads programs is kept for [`loading`]; with `unmount` also to take its BPF file system away at the end.
/// Installs the system call filter.
///
/// Both belong to threads: to be called while there is one, and by each that must begin before.
///
/// # Errors
///
/// The kernel refuses it.
pub fn reduce(unmount: bool) -> Result<()> {
    let mut needed = HashSet::from([
        Capability::CAP_BPF,
        Capability::CAP_NET_ADMIN,
        Capability::CAP_NET_RAW,
    ]);
    needed.extend(OTHER_USERS);
    if unmount {
        needed.insert(Capability::CAP_SYS_ADMIN);
    }
    let held = read(None, CapSet::Permitted).context("cannot read the process' capabilities")?;
    // Before Linux gave BPF a capability of its own, or in a container that grants the older one.
    if !held.contains(&Capability::CAP_BPF) {
        needed.insert(Capability::CAP_SYS_ADMIN);
    }
    let effective: HashSet<Capability> = held.intersection(&needed).copied().collect();
    needed.insert(LOADS_PROGRAMS);
    let permitted = held.intersection(&needed).copied().collect();
    for (capabilities, kept) in [
        (CapSet::Inheritable, &HashSet::new()),
        (CapSet::Effective, &effective),
        (CapSet::Permitted, &permitted),
    ] {
        set(None, capabilities, kept).context("cannot give up capabilities")?;
    }
    if let Err(error) = seccomp::install(unmount) {
        // A kernel without filters is no reason not to forward.
        warn!("{error:#}");
    }
    Ok(())
}

/// Does something with the privilege to load programs that compare and subtract pointers, as those do that handle
/// packets. This thread has it meanwhile, if the daemon was started with it.
pub fn loading<R>(work: impl FnOnce() -> R) -> R {
    let had = has_cap(None, CapSet::Effective, LOADS_PROGRAMS).unwrap_or(true);
    if !had && let Err(error) = raise(None, CapSet::Effective, LOADS_PROGRAMS) {
        // The verifier says what it misses.
        debug!("no privilege to load programs: {error}");
    }
    let done = work();
    if !had && let Err(error) = drop_cap(None, CapSet::Effective, LOADS_PROGRAMS) {
        warn!("the privilege to load programs stays: {error}");
    }
    done
}

/// Capabilities that this thread lacks to start commands as another user, and to end them.
///
/// # Errors
///
/// The kernel does not tell.
pub fn lacking_for_other_users() -> Result<Vec<Capability>> {
    let held = read(None, CapSet::Permitted).context("cannot read the process' capabilities")?;
    let lacking = OTHER_USERS.iter().filter(|needed| !held.contains(needed));
    Ok(lacking.copied().collect())
}
