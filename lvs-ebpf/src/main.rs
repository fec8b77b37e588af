//! The XDP program: it hands each frame to `lvs_common::forward` and does what the verdict says.
//! Everything else in this crate adapts the kernel's maps and frames to that library's traits.
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

mod atomic;
mod frame;
mod maps;
mod tables;
mod verifier;
mod ways;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lvs_common::forward::forward;
use lvs_common::verdict::Action;

use crate::frame::Frame;
use crate::tables::Kernel;

/// Decides what becomes of each frame.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    let Some(workspace) = maps::workspace.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: this CPU's own element, and the program is not interrupted by itself. Nothing in it is
    // read that was not written for the same packet before.
    let workspace = unsafe { &mut *workspace };
    let verdict = forward(&mut Frame::new(&context), Kernel, workspace);
    Kernel::count(verdict.counter());
    match verdict.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Transmit => xdp_action::XDP_TX,
        // SAFETY: a helper without pointers; it returns an XDP action.
        Action::Redirect { interface } => unsafe { bpf_redirect(interface, 0) as u32 },
    }
}

/// Some of the helpers used are for GPL programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
