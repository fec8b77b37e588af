//! The capabilities of the daemon once it runs.

use std::collections::HashSet;

use anyhow::{Context, Result};
use caps::{CapSet, Capability, read, set};

/// Gives up every capability but those that a running daemon needs: to use the maps, to follow next
/// hops, to hold virtual addresses and announce them, and to probe servers through raw sockets (see
/// `health::probe`: the one for pings that takes no privilege is closed by default); with `unmount`
/// also to take its BPF file system away at the end.
///
/// Capabilities belong to threads: to be called while there is one.
pub fn reduce(unmount: bool) -> Result<()> {
    let mut needed = HashSet::from([
        Capability::CAP_BPF,
        Capability::CAP_NET_ADMIN,
        Capability::CAP_NET_RAW,
    ]);
    if unmount {
        needed.insert(Capability::CAP_SYS_ADMIN);
    }
    let held = read(None, CapSet::Permitted).context("cannot read the process' capabilities")?;
    // Before Linux gave BPF a capability of its own, or in a container that grants the older one.
    if !held.contains(&Capability::CAP_BPF) {
        needed.insert(Capability::CAP_SYS_ADMIN);
    }
    let kept: HashSet<Capability> = held.intersection(&needed).copied().collect();
    for (capabilities, kept) in [
        (CapSet::Inheritable, &HashSet::new()),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        set(None, capabilities, kept).context("cannot give up capabilities")?;
    }
    Ok(())
}
