//! Does what the verdict says.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_redirect;
use lvs_common::forward::Workspace;
use lvs_common::verdict::{Action, Verdict};

use crate::maps;
use crate::tables::Kernel;

/// This CPU's working memory.
#[inline(always)]
pub(crate) fn workspace<'a>() -> Option<&'a mut Workspace> {
    let workspace = maps::workspace.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element, and the program is not interrupted by itself. Nothing in it is read
    // that was not written for the same packet before.
    Some(unsafe { &mut *workspace })
}

/// Counts a verdict and returns the XDP action.
#[inline(always)]
pub(crate) fn act(verdict: Verdict) -> u32 {
    if verdict.is_counted() {
        Kernel::count(verdict.counter(), 1);
    }
    match verdict.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop | Action::Neighbour { .. } => xdp_action::XDP_DROP,
        Action::Transmit => xdp_action::XDP_TX,
        // SAFETY: a helper without pointers; it returns an XDP action.
        Action::Redirect { interface } => unsafe { bpf_redirect(interface, 0) as u32 },
    }
}
