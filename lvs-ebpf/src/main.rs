//! The XDP program and the TC program: each hands what it gets to `lvs_common::forward` and does what the verdict
//! says. Beside them,
//! the program that sends probes by the service path (`lvs_common::probe`). Everything else in this crate adapts
//! the kernel's maps and frames to that library's traits.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![allow(
    internal_features,
    unknown_lints,
    missing_docs,
    unreachable_pub,
    clippy::inline_always,
    reason = "a program for nightly features; the macro exports a function of its own; the verifier \
              sees one program, adapters are meant to vanish into it"
)]

mod act;
mod atomic;
mod clients;
mod clock;
mod depart;
mod frame;
mod inject;
mod local;
mod maps;
mod packet_trace;
mod program_log;
mod routes;
mod skb;
mod split;
mod tables;
mod tc;
mod trace;
mod verifier;
mod ways;
mod xdp;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{cgroup_sock_addr, classifier, raw_tracepoint, xdp};
use aya_ebpf::programs::{RawTracePointContext, SockAddrContext, TcContext, XdpContext};
use lvs_common::abi::STAGES_V6;
use lvs_common::family::{V4, V6};

/// Decides what becomes of each frame.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    split::director(&context)
}

/// The stages of IPv4.
#[xdp]
pub fn director_v4(context: XdpContext) -> u32 {
    split::stages_v4(&context)
}

/// The stages of IPv6.
#[xdp]
pub fn director_v6(context: XdpContext) -> u32 {
    split::stages_v6(&context)
}

/// Decides what becomes of each socket buffer.
#[classifier]
pub fn director_tc(context: TcContext) -> i32 {
    tc::director(&context)
}

/// The same on a device without link header.
#[classifier]
pub fn director_tc_l3(context: TcContext) -> i32 {
    tc::without_link(&context)
}

/// The stages of IPv4 for socket buffers.
#[classifier]
pub fn director_tc_v4(context: TcContext) -> i32 {
    tc::stages::<V4>(
        &context,
        || Some(&mut act::workspace()?.v4),
        Some(STAGES_V6),
    )
}

/// The stages of IPv6 for socket buffers.
#[classifier]
pub fn director_tc_v6(context: TcContext) -> i32 {
    tc::stages::<V6>(&context, || Some(&mut act::workspace()?.v6), None)
}

/// Sends a frame of the daemon's own by the interface that it names.
#[xdp]
pub fn try_out(context: XdpContext) -> u32 {
    inject::try_out(&context)
}

/// Hands a frame of the daemon's to the kernel as one that came by its interface.
#[xdp]
pub fn arrive(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Asks the kernel's routes for the daemon.
#[xdp]
pub fn ask_routes(context: XdpContext) -> u32 {
    inject::ask_routes(&context)
}

/// Sends what comes from the probes on the service path.
#[classifier]
pub fn probe(context: TcContext) -> i32 {
    depart::depart(&context)
}

/// Counts frames that no device took.
#[raw_tracepoint(tracepoint = "xdp_redirect_err")]
pub fn lost_redirect(context: RawTracePointContext) {
    trace::redirect(&context);
}

/// Counts frames that a device did not send.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
pub fn lost_transmit(context: RawTracePointContext) {
    trace::transmit(&context);
}

/// Counts frames that a device did not send back.
#[raw_tracepoint(tracepoint = "xdp_bulk_tx")]
pub fn lost_bulk(context: RawTracePointContext) {
    trace::bulk(&context);
}

/// Counts frames that a device could not send back.
#[raw_tracepoint(tracepoint = "xdp_exception")]
pub fn lost_exception(context: RawTracePointContext) {
    trace::exception(&context);
}

/// Counts packets behind drivers that were not sent.
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn lost_buffer(context: RawTracePointContext) {
    trace::buffer(&context);
}

/// Decides what an IPv4 socket on the director connects to.
#[cgroup_sock_addr(connect4)]
pub fn local_connect4(context: SockAddrContext) -> i32 {
    local::connect::<V4>(local::Socket::new(&context))
}

/// Decides what an IPv6 socket on the director connects to.
#[cgroup_sock_addr(connect6)]
pub fn local_connect6(context: SockAddrContext) -> i32 {
    local::connect::<V6>(local::Socket::new(&context))
}

/// Decides where a datagram of an IPv4 socket on the director goes to.
#[cgroup_sock_addr(sendmsg4)]
pub fn local_send4(context: SockAddrContext) -> i32 {
    local::send::<V4>(local::Socket::new(&context))
}

/// Decides where a datagram of an IPv6 socket on the director goes to.
#[cgroup_sock_addr(sendmsg6)]
pub fn local_send6(context: SockAddrContext) -> i32 {
    local::send::<V6>(local::Socket::new(&context))
}

/// Says where a datagram for an IPv4 socket on the director is from.
#[cgroup_sock_addr(recvmsg4)]
pub fn local_recv4(context: SockAddrContext) -> i32 {
    local::peer::<V4>(local::Socket::new(&context))
}

/// Says where a datagram for an IPv6 socket on the director is from.
#[cgroup_sock_addr(recvmsg6)]
pub fn local_recv6(context: SockAddrContext) -> i32 {
    local::peer::<V6>(local::Socket::new(&context))
}

/// Says what an IPv4 socket on the director is connected to.
#[cgroup_sock_addr(getpeername4)]
pub fn local_peer4(context: SockAddrContext) -> i32 {
    local::peer::<V4>(local::Socket::new(&context))
}

/// Says what an IPv6 socket on the director is connected to.
#[cgroup_sock_addr(getpeername6)]
pub fn local_peer6(context: SockAddrContext) -> i32 {
    local::peer::<V6>(local::Socket::new(&context))
}

/// Some of the helpers used are for GPL programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
