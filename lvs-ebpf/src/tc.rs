//! The TC program: what `split` is for frames, for socket buffers.

#![allow(
    non_upper_case_globals,
    reason = "the statics are named as the maps are, which tools show"
)]

use core::ptr;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::helpers::generated::bpf_redirect_neigh;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::TcContext;
use lvs_common::abi::{PacketRecord, STAGES_V4, STAGES_V6};
use lvs_common::connection::table::Store;
use lvs_common::diagnosis::Finding;
use lvs_common::forward::{IpVersion, OtherFamily, Work, first_stages, plainly, stages_of};
use lvs_common::network::Network;
use lvs_common::packet::Packet as _;
use lvs_common::verdict::{Action, Verdict};

use crate::act::workspace;
use crate::frame::Frame;
use crate::skb::Skb;
use crate::tables::Kernel;
use crate::trace;
use crate::{packet_trace, program_log};

/// The programs of the stages, as `split::xdp_stages`.
#[map]
static tc_stages: ProgramArray = ProgramArray::with_max_entries(2, 0);

/// The fast path.
#[inline(always)]
pub(crate) fn director(context: &TcContext) -> i32 {
    let mut packet = Frame::<Skb>::new(context);
    if packet_trace::is_on() && packet_trace::begins(&packet, PacketRecord::BUFFER) {
        packet.context.set_without_link(false);
        // Of a socket buffer nothing is left to others.
        let version = first_stages(&packet, Kernel).unwrap_or(IpVersion::V4);
        return call(context, stages_number(version));
    }
    let packets = packet.packets();
    match plainly(&mut packet, Kernel, workspace) {
        Ok(verdict) => {
            program_log::ends(verdict, packet.interface());
            act(&mut packet, verdict, packets)
        }
        Err(version) => {
            packet.context.set_without_link(false);
            call(context, stages_number(version))
        }
    }
}

/// Index of the program for the stages of a family.
#[inline(always)]
const fn stages_number(version: IpVersion) -> u32 {
    match version {
        IpVersion::V4 => STAGES_V4,
        IpVersion::V6 => STAGES_V6,
    }
}

/// A packet of a device without link header.
#[inline(always)]
pub(crate) fn without_link(context: &TcContext) -> i32 {
    let mut packet = Frame::<Skb>::new(context);
    packet.context.set_without_link(true);
    if packet_trace::is_on() {
        packet_trace::begins(&packet, PacketRecord::BUFFER | PacketRecord::NO_ETHERNET);
    }
    call(
        context,
        if packet.context.is_ipv6() {
            STAGES_V6
        } else {
            STAGES_V4
        },
    )
}

/// The stages of a family. `next` is the program for the other one, if this is not called by that.
#[inline(always)]
pub(crate) fn stages<F: Network>(
    context: &TcContext,
    work: impl FnOnce() -> Option<&'static mut Work<F>>,
    next: Option<u32>,
) -> i32
where
    Kernel: Store<F>,
{
    let mut packet = Frame::<Skb>::new(context);
    let packets = packet.packets();
    let Some(work) = work() else {
        return TC_ACT_SHOT;
    };
    packet_trace::goes_on(work);
    match stages_of::<F, _, _>(&mut packet, Kernel, work) {
        Ok(verdict) => {
            packet_trace::ends(&packet, work, verdict);
            act_apart(&mut packet, verdict, packets)
        }
        Err(OtherFamily) => next.map_or(TC_ACT_SHOT, |program| call(context, program)),
    }
}

/// Counts a verdict and returns the TC action. What is not the director's goes to the next program.
#[inline(always)]
fn act(packet: &mut Frame<Skb>, verdict: Verdict, packets: u32) -> i32 {
    Kernel::count(verdict.counter(), packets);
    let interface = match verdict.action() {
        Action::Pass => return TC_ACT_UNSPEC,
        Action::Drop => return TC_ACT_SHOT,
        Action::Transmit => packet.interface(),
        Action::Redirect { interface } => interface,
        Action::Neighbour { interface } => {
            packet.context.set_sent(trace::sent());
            // SAFETY: without a next hop the helper asks the routes, and reads nothing; it returns a TC action.
            return unsafe { bpf_redirect_neigh(interface, ptr::null_mut(), 0, 0) as i32 };
        }
    };
    packet.context.set_sent(trace::sent());
    // SAFETY: a helper without pointers; it returns a TC action.
    unsafe { bpf_redirect(interface, 0) as i32 }
}

/// The same as a function of its own: the stages leave no stack to its variables.
#[inline(never)]
fn act_apart(packet: &mut Frame<Skb>, verdict: Verdict, packets: u32) -> i32 {
    program_log::ends(verdict, packet.interface());
    act(packet, verdict, packets)
}

/// Goes on with another program; comes back only if that is missing, which the loader sees to.
#[inline(always)]
fn call(context: &TcContext, program: u32) -> i32 {
    // SAFETY: the loader fills the array with TC programs before this one is attached.
    let _ = unsafe { tc_stages.tail_call(context, program) };
    program_log::failed(Finding::StageMissing, program);
    TC_ACT_SHOT
}
