//! The XDP context: a frame as the driver hands it over.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::bpf_xdp_load_bytes;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use lvs_common::abi::{HELD_BYTES, HeldFrame};
use lvs_common::diagnosis::Finding;

use crate::frame::{Context, Frame};
use crate::{maps, program_log, verifier};

/// An XDP context.
pub(crate) struct Xdp(*mut xdp_md);

impl Frame<Xdp> {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            context: Xdp(context.as_ptr().cast()),
        }
    }
}

impl Context for Xdp {
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // SAFETY: the kernel hands the program a valid context for its whole run. The fields change
        // when the frame is grown or shrunk, hence volatile.
        unsafe {
            let data = core::ptr::read_volatile(&raw const (*self.0).data);
            let end = core::ptr::read_volatile(&raw const (*self.0).data_end);
            (data as usize, end as usize)
        }
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: as in `bounds`.
        unsafe { (*self.0).ingress_ifindex }
    }

    #[inline(always)]
    fn pointer(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn load(&self, to: *mut c_void, bytes: u32) -> bool {
        // SAFETY: a valid context; the caller's place has room, which the verifier checks once more.
        unsafe { bpf_xdp_load_bytes(self.0, 0, to, bytes) == 0 }
    }

    #[inline(always)]
    fn adjust_head(&mut self, delta: i32) -> Option<()> {
        // SAFETY: a valid context; every access afterwards asks for the bounds anew.
        (unsafe { bpf_xdp_adjust_head(self.0, delta) } == 0).then_some(())
    }

    #[inline(always)]
    fn adjust_tail(&mut self, delta: i32) -> Option<()> {
        // SAFETY: as in `adjust_head`.
        (unsafe { bpf_xdp_adjust_tail(self.0, delta) } == 0).then_some(())
    }

    #[inline(always)]
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()> {
        // SAFETY: a valid context; no more than `bytes` are written, at most 64.
        let copied = unsafe {
            bpf_xdp_load_bytes(
                self.0,
                offset as u32,
                target.as_mut_ptr().cast(),
                bytes as u32,
            )
        };
        (copied == 0).then_some(())
    }

    #[inline(never)]
    fn hold(&mut self, mtu: u32) -> bool {
        // The verifier of 6.1 learns nothing from a comparison with zero: it is to see that one is added.
        let last = verifier::hidden(verifier::hidden(self.length()).wrapping_sub(1));
        if last >= HELD_BYTES {
            return false;
        }
        let length = last + 1;
        // No room: the daemon is not there, or is behind.
        let Some(mut held) = maps::held_fragments.reserve::<HeldFrame>(0) else {
            program_log::found(Finding::NotHeld, length as u32);
            return false;
        };
        let frame = held.as_mut_ptr();
        // SAFETY: the memory reserved, as large as a held frame; the helper writes no more than `length` bytes,
        // which fit. Bytes beyond are never looked at.
        let loaded = unsafe {
            (&raw mut (*frame).interface).write(self.interface());
            (&raw mut (*frame).length).write(length as u16);
            (&raw mut (*frame).mtu).write(mtu as u16);
            bpf_xdp_load_bytes(self.0, 0, (&raw mut (*frame).bytes).cast(), length as u32)
        };
        if loaded != 0 {
            held.discard(0);
            return false;
        }
        held.submit(0);
        true
    }
}
