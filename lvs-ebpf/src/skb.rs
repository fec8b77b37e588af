//! A socket buffer: a probe's packet, before it leaves.

use aya_ebpf::bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;
use aya_ebpf::bindings::{__sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6};
use aya_ebpf::helpers::generated::bpf_skb_adjust_room;
use aya_ebpf::programs::TcContext;
use lvs_common::family::{Family, V4};
use lvs_common::probe::MakeRoom;

use crate::frame::{Context, Frame};

/// A socket buffer. Its headers lie in one piece, because the probes' interface takes no others.
pub(crate) struct Skb(*mut __sk_buff);

impl Frame<Skb> {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self {
            context: Skb(context.skb.skb),
        }
    }
}

impl Context for Skb {
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // SAFETY: the kernel hands the program a valid context for its whole run. The fields change
        // with the packet, hence volatile.
        unsafe {
            let data = core::ptr::read_volatile(&raw const (*self.0).data);
            let end = core::ptr::read_volatile(&raw const (*self.0).data_end);
            (data as usize, end as usize)
        }
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: as in `bounds`.
        unsafe { (*self.0).len as usize }
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: as in `bounds`.
        unsafe { (*self.0).ifindex }
    }

    /// Never asked for: what comes before the Ethernet header is the kernel's.
    #[inline(always)]
    fn adjust_head(&mut self, _delta: i32) -> Option<()> {
        None
    }

    /// Likewise.
    #[inline(always)]
    fn adjust_tail(&mut self, _delta: i32) -> Option<()> {
        None
    }
}

impl MakeRoom for Frame<Skb> {
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
                self.context.0,
                bytes as i32,
                BPF_ADJ_ROOM_MAC,
                u64::from(flags),
            )
        };
        (done == 0).then_some(())
    }
}
