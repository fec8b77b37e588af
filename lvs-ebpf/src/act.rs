//! Does what the verdict says.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::programs::XdpContext;
use lvs_common::forward::forward;
use lvs_common::verdict::Action;

use crate::frame::Frame;
use crate::maps;
use crate::tables::Kernel;
use crate::xdp::Xdp;

/// Hands a frame to the packet path, counts its verdict and returns the XDP action.
#[inline(always)]
pub(crate) fn act(context: &XdpContext) -> u32 {
    let workspace = || {
        let workspace = maps::workspace.get_ptr_mut(0)?;
        // SAFETY: this CPU's own element, and the program is not interrupted by itself. Nothing in it
        // is read that was not written for the same packet before.
        Some(unsafe { &mut *workspace })
    };
    let Some(verdict) = forward(&mut Frame::<Xdp>::new(context), Kernel, workspace) else {
        return xdp_action::XDP_ABORTED;
    };
    Kernel::count(verdict.counter());
    match verdict.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Transmit => xdp_action::XDP_TX,
        // SAFETY: a helper without pointers; it returns an XDP action.
        Action::Redirect { interface } => unsafe { bpf_redirect(interface, 0) as u32 },
    }
}
