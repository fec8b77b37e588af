//! The XDP program in three parts, each of which the verifier looks at alone: the fast path, and the stages of
//! either family for what it leaves. A tail call leads from one to the next; nothing is handed over but the
//! frame, which is as it came.

#![allow(
    non_upper_case_globals,
    reason = "the statics are named as the maps are, which tools show"
)]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::XdpContext;
use lvs_common::abi::{STAGES_V4, STAGES_V6};
use lvs_common::diagnosis::Finding;
use lvs_common::family::{V4, V6};
use lvs_common::forward::{IpVersion, OtherFamily, first_stages, plainly, stages_of};
use lvs_common::packet::Packet as _;

use crate::act::{act, workspace};
use crate::frame::Frame;
use crate::tables::Kernel;
use crate::xdp::Xdp;
use crate::{packet_trace, program_log};

/// The programs of the stages: every loaded program has its own, so that none ever calls another version's.
#[map]
static xdp_stages: ProgramArray = ProgramArray::with_max_entries(2, 0);

/// The fast path.
#[inline(always)]
pub(crate) fn director(context: &XdpContext) -> u32 {
    if packet_trace::is_on() {
        let packet = Frame::<Xdp>::new(context);
        if packet_trace::begins(&packet, 0) {
            return match first_stages(&packet, Kernel) {
                Some(IpVersion::V4) => call(context, STAGES_V4),
                Some(IpVersion::V6) => call(context, STAGES_V6),
                None => xdp_action::XDP_PASS,
            };
        }
    }
    match plainly(&mut Frame::<Xdp>::new(context), Kernel, workspace) {
        Ok(verdict) => {
            program_log::ends(verdict, Frame::<Xdp>::new(context).interface());
            act(verdict)
        }
        Err(IpVersion::V4) => call(context, STAGES_V4),
        Err(IpVersion::V6) => call(context, STAGES_V6),
    }
}

/// The stages of IPv4, where everything goes whose family is not known yet.
#[inline(always)]
pub(crate) fn stages_v4(context: &XdpContext) -> u32 {
    let Some(workspace) = workspace() else {
        return xdp_action::XDP_ABORTED;
    };
    let (mut packet, work) = (Frame::<Xdp>::new(context), &mut workspace.v4);
    packet_trace::goes_on(work);
    match stages_of::<V4, _, _>(&mut packet, Kernel, work) {
        Ok(verdict) => {
            packet_trace::ends(&packet, work, verdict);
            program_log::ends(verdict, work.forward.interface);
            act(verdict)
        }
        Err(OtherFamily) => call(context, STAGES_V6),
    }
}

/// The stages of IPv6.
#[inline(always)]
pub(crate) fn stages_v6(context: &XdpContext) -> u32 {
    let Some(workspace) = workspace() else {
        return xdp_action::XDP_ABORTED;
    };
    let (mut packet, work) = (Frame::<Xdp>::new(context), &mut workspace.v6);
    packet_trace::goes_on(work);
    match stages_of::<V6, _, _>(&mut packet, Kernel, work) {
        Ok(verdict) => {
            packet_trace::ends(&packet, work, verdict);
            program_log::ends(verdict, work.forward.interface);
            act(verdict)
        }
        Err(OtherFamily) => xdp_action::XDP_ABORTED,
    }
}

/// Goes on with another program; comes back only if that is missing, which the loader sees to.
#[inline(always)]
fn call(context: &XdpContext, program: u32) -> u32 {
    // SAFETY: the loader fills the array with XDP programs before this one is attached.
    let _ = unsafe { xdp_stages.tail_call(context, program) };
    program_log::failed(Finding::StageMissing, program);
    xdp_action::XDP_ABORTED
}
