//! A socket buffer as a [`Packet`]: what a probe sends, before it leaves.

use core::mem::size_of;

use aya_ebpf::bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;
use aya_ebpf::bindings::{__sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6};
use aya_ebpf::helpers::generated::bpf_skb_adjust_room;
use aya_ebpf::programs::TcContext;
use lvs_common::family::{Family, V4};
use lvs_common::packet::{Header, Packet};
use lvs_common::probe::MakeRoom;

use crate::frame::bounded;

/// A packet in a socket buffer. Its headers lie in one piece, because the probes' interface takes no
/// others.
pub(crate) struct Buffer {
    context: *mut __sk_buff,
}

impl Buffer {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self {
            context: context.skb.skb,
        }
    }

    /// Where `T` lies in the packet.
    #[inline(always)]
    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let offset = bounded(offset)?;
        // SAFETY: the kernel hands the program a valid context for its whole run. The fields change
        // with the packet, hence volatile.
        let (data, end) = unsafe {
            (
                core::ptr::read_volatile(&raw const (*self.context).data) as usize,
                core::ptr::read_volatile(&raw const (*self.context).data_end) as usize,
            )
        };
        let start = data + offset;
        if start + size_of::<T>() > end {
            return None;
        }
        Some(start as *mut T)
    }
}

impl Packet for Buffer {
    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: as in `place`.
        unsafe { (*self.context).len as usize }
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: as in `place`.
        unsafe { (*self.context).ifindex }
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let header = self.place::<T>(offset)?;
        // SAFETY: `place` checked that the bytes lie within the packet; `T` takes any bytes at any
        // address; nobody else writes to it while the program runs, and `self` is borrowed.
        Some(unsafe { &*header })
    }

    #[inline(always)]
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let header = self.place::<T>(offset)?;
        // SAFETY: as in `header`, and `self` is borrowed exclusively.
        Some(unsafe { &mut *header })
    }

    /// Nobody asks for it: what comes before the link header is the kernel's.
    #[inline(always)]
    fn grow(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    /// Likewise.
    #[inline(always)]
    fn shrink(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    /// Likewise.
    #[inline(always)]
    fn truncate(&mut self, _length: usize) -> Option<()> {
        None
    }
}

impl MakeRoom for Buffer {
    #[inline(always)]
    fn make_room(&mut self, family: u8, bytes: usize) -> Option<()> {
        let flags = if family == V4::NUMBER {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
        } else {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
        };
        // SAFETY: a valid context; every access afterwards asks for the bounds anew.
        let done = unsafe {
            bpf_skb_adjust_room(
                self.context,
                bytes as i32,
                BPF_ADJ_ROOM_MAC,
                u64::from(flags),
            )
        };
        (done == 0).then_some(())
    }
}
