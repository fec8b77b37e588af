//! The XDP context as a [`Packet`]: the only place that touches packet memory.

use core::mem::size_of;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use lvs_common::packet::{Header, MAX_OFFSET, Packet};

use crate::verifier;

/// A frame.
pub(crate) struct Frame {
    context: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            context: context.as_ptr().cast(),
        }
    }

    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // SAFETY: the kernel hands the program a valid context for its whole run. The fields change
        // when the frame is grown or shrunk, hence volatile.
        unsafe {
            let data = core::ptr::read_volatile(&raw const (*self.context).data);
            let end = core::ptr::read_volatile(&raw const (*self.context).data_end);
            (data as usize, end as usize)
        }
    }

    /// The one bounds check: where `T` lies in the frame.
    #[inline(always)]
    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let offset = bounded(offset)?;
        let (data, end) = self.bounds();
        let start = data + offset;
        if start + size_of::<T>() > end {
            return None;
        }
        Some(start as *mut T)
    }

    #[inline(always)]
    fn adjust(&mut self, delta: i32) -> Option<()> {
        // SAFETY: a valid context; every access afterwards asks for the bounds anew.
        (unsafe { bpf_xdp_adjust_head(self.context, delta) } == 0).then_some(())
    }
}

/// An offset that the verifier knows to be small. The mask changes nothing; it bounds the very register
/// that is added, where older verifiers forget what a comparison said of a copy.
#[inline(always)]
pub(crate) fn bounded(offset: usize) -> Option<usize> {
    if core::intrinsics::is_val_statically_known(offset) {
        return Some(offset);
    }
    (offset <= MAX_OFFSET).then(|| verifier::hidden(offset) & MAX_OFFSET)
}

impl Packet for Frame {
    #[inline(always)]
    fn length(&self) -> usize {
        let (data, end) = self.bounds();
        end - data
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: as in `bounds`.
        unsafe { (*self.context).ingress_ifindex }
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let header = self.place::<T>(offset)?;
        // SAFETY: `place` checked that the bytes lie within the frame; `T` takes any bytes at any
        // address; nobody else writes to a frame while the program runs, and `self` is borrowed.
        Some(unsafe { &*header })
    }

    #[inline(always)]
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let header = self.place::<T>(offset)?;
        // SAFETY: as in `header`, and `self` is borrowed exclusively.
        Some(unsafe { &mut *header })
    }

    #[inline(always)]
    fn grow(&mut self, bytes: usize) -> Option<()> {
        self.adjust(-(bytes as i32))
    }

    #[inline(always)]
    fn shrink(&mut self, bytes: usize) -> Option<()> {
        self.adjust(bytes as i32)
    }

    #[inline(always)]
    fn truncate(&mut self, length: usize) -> Option<()> {
        let delta = length as i32 - self.length() as i32;
        if delta > 0 {
            return None;
        }
        // SAFETY: as in `adjust`.
        (unsafe { bpf_xdp_adjust_tail(self.context, delta) } == 0).then_some(())
    }
}
