//! Frames that the daemon makes.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::programs::XdpContext;
use lvs_common::abi::{RouteQuestion, TryFrame};
use lvs_common::packet::Packet as _;
use lvs_common::routes::{Lookup, Routes as _};

use crate::frame::Frame;
use crate::xdp::Xdp;

/// Sends a [`TryFrame`] by the interface that it names.
#[inline(always)]
pub(crate) fn try_out(context: &XdpContext) -> u32 {
    let packet = Frame::<Xdp>::new(context);
    let Some(frame) = packet.header::<TryFrame>(0) else {
        return xdp_action::XDP_DROP;
    };
    let interface = u32::from_ne_bytes(frame.interface);
    // SAFETY: a helper without pointers; it returns an XDP action.
    unsafe { bpf_redirect(interface, 0) as u32 }
}

/// Answers a [`RouteQuestion`] where it lies. Returns the answer's code; none answers a frame that is no question.
#[inline(always)]
pub(crate) fn ask_routes(context: &XdpContext) -> u32 {
    let mut packet = Frame::<Xdp>::new(context);
    let routes = packet.routes();
    let Some(question) = packet.header_mut::<RouteQuestion>(0) else {
        return u32::MAX;
    };
    // The helper takes memory of the stack only.
    let mut lookup: Lookup = zerocopy::transmute!(question.lookup);
    let answer = routes.look_up(&mut lookup, u32::from_ne_bytes(question.flags));
    question.lookup = zerocopy::transmute!(lookup);
    answer
}
