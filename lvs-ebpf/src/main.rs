//! The XDP program: it hands each frame to `lvs_common::forward` and does what the verdict says. Beside it,
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
mod clock;
mod depart;
mod frame;
mod maps;
mod skb;
mod split;
mod tables;
mod verifier;
mod ways;
mod xdp;

use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

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

/// Sends what comes from the probes on the service path.
#[classifier]
pub fn probe(context: TcContext) -> i32 {
    depart::depart(&context)
}

/// Some of the helpers used are for GPL programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
