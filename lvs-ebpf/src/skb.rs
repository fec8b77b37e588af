//! A socket buffer: a packet at the entrance of TC, or a probe's before it leaves.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
    BPF_F_ADJ_ROOM_ENCAP_L4_GRE, BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO,
    BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR,
};
use aya_ebpf::helpers::generated::{
    bpf_csum_update, bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_head,
    bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_vlan_pop,
    bpf_skb_vlan_push,
};
use aya_ebpf::programs::TcContext;
use lvs_common::abi::{HELD_BYTES, HeldFrame};
use lvs_common::checksum::{Sum, SumChange};
use lvs_common::diagnosis::Finding;
use lvs_common::ethernet::ETHERNET;
use lvs_common::packet::Inserted;
use lvs_common::wire::protocol;
use zerocopy::byteorder::network_endian::U16;

use crate::frame::{Context, Frame};
use crate::{maps, program_log, verifier};

/// Bytes of both addresses of an Ethernet header.
const ADDRESSES: usize = 12;
/// Bytes of a VLAN tag.
const TAG: usize = 4;

/// `PACKET_OTHERHOST` of `linux/if_packet.h`. Packets for a group are for every member of it.
const PACKET_OTHERHOST: u32 = 3;

/// `BPF_F_IPV6` of `bpf_l4_csum_replace`: no other checksum makes up for a change of the addresses. Kernels that do not
/// know it answer with an error and change nothing.
const BPF_F_IPV6: u64 = 1 << 7;

/// A socket buffer.
pub(crate) struct Skb(*mut __sk_buff);

impl Frame<Skb> {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self {
            context: Skb(context.skb.skb),
        }
    }
}

/// Reads a field of the context. The kernel rewrites the access: it has to be as wide as the field, and fields change
/// with the packet.
macro_rules! field {
    ($skb:expr, $field:ident) => {
        // SAFETY: the kernel hands the program a valid context for its whole run.
        unsafe { ptr::read_volatile(&raw const (*$skb.0).$field) }
    };
}

/// The answer of a helper as a result: zero is success.
#[inline(always)]
fn done(answer: i64) -> Option<()> {
    (answer == 0).then_some(())
}

impl Skb {
    /// Marks the packet as one of a device without link header, for the programs that this one calls.
    #[inline(always)]
    pub(crate) fn set_without_link(&mut self, without: bool) {
        // SAFETY: as in `field`; the words are the program's own.
        unsafe { ptr::write_volatile(&raw mut (*self.0).cb[0], u32::from(without)) };
    }

    /// Marks the packet as one that the director sends, for [`crate::trace`].
    #[inline(always)]
    pub(crate) fn set_sent(&mut self, mark: u32) {
        // SAFETY: as in `field`; the kernel itself has no use for the word, see `TraceOffsets::sent`.
        unsafe { ptr::write_volatile(&raw mut (*self.0).tc_index, mark) };
    }

    #[inline(always)]
    pub(crate) fn is_ipv6(&self) -> bool {
        field!(self, protocol) == u32::from(lvs_common::wire::ETHERTYPE_IPV6.to_be())
    }

    #[inline(always)]
    fn adjust_room(&self, bytes: usize, flags: u32) -> Option<()> {
        // SAFETY: a valid context; every access afterwards asks for the bounds anew.
        done(unsafe {
            bpf_skb_adjust_room(self.0, bytes as i32, BPF_ADJ_ROOM_MAC, u64::from(flags))
        })
    }

    #[inline(always)]
    fn replace_sum(&self, offset: usize, change: Sum, flags: u64) -> Option<()> {
        let change = u64::from(change.folded_once());
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_l4_csum_replace(self.0, offset as u32, 0, change, flags) })
    }
}

impl Context for Skb {
    const BUFFER: bool = true;

    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        (field!(self, data) as usize, field!(self, data_end) as usize)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        field!(self, len) as usize
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        field!(self, ifindex)
    }

    #[inline(always)]
    fn pointer(&self) -> *mut c_void {
        self.0.cast()
    }

    /// Never asked for: what comes before the link header is the kernel's.
    #[inline(always)]
    fn load(&self, to: *mut c_void, bytes: u32) -> bool {
        // SAFETY: a valid context; the caller's place has room, which the verifier checks once more.
        unsafe { bpf_skb_load_bytes(self.pointer(), 0, to, bytes) == 0 }
    }

    #[inline(always)]
    fn adjust_head(&mut self, _delta: i32) -> Option<()> {
        None
    }

    #[inline(always)]
    fn adjust_tail(&mut self, delta: i32) -> Option<()> {
        let length = field!(self, len).wrapping_add_signed(delta);
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_skb_change_tail(self.0, length, 0) })
    }

    #[inline(never)]
    fn hold(&mut self, mtu: u32) -> bool {
        // A device without link header has nothing that a frame begins with; a super-packet is not what was on the
        // wire.
        if self.without_link().is_some() || self.segment() != 0 {
            return false;
        }
        let tag = if field!(self, vlan_present) == 0 {
            0
        } else {
            TAG
        };
        // As in `Xdp::hold`; addresses and a tag come before what is copied then.
        let rest =
            verifier::hidden(verifier::hidden(Context::length(self)).wrapping_sub(ADDRESSES + 1));
        if rest >= HELD_BYTES - ADDRESSES - TAG {
            return false;
        }
        let rest = rest + 1;
        let Some(mut held) = maps::held_fragments.reserve::<HeldFrame>(0) else {
            program_log::found(Finding::NotHeld, rest as u32);
            return false;
        };
        let interface = field!(self, ifindex);
        // The outer tag lies beside the packet: here it is in the frame again.
        let [a, b] = (field!(self, vlan_proto) as u16).to_ne_bytes();
        let [c, d] = (field!(self, vlan_tci) as u16).to_be_bytes();
        let frame = held.as_mut_ptr();
        // SAFETY: the memory reserved, as large as a held frame; the helper writes no more than it is told to, which
        // fits. Bytes beyond are never looked at.
        let loaded = unsafe {
            (&raw mut (*frame).interface).write(interface);
            (&raw mut (*frame).length).write((ADDRESSES + tag + rest) as u16);
            (&raw mut (*frame).mtu).write(mtu as u16);
            let bytes: *mut u8 = (&raw mut (*frame).bytes).cast();
            bytes
                .add(ADDRESSES)
                .cast::<[u8; TAG]>()
                .write_unaligned([a, b, c, d]);
            let addresses = bpf_skb_load_bytes(self.pointer(), 0, bytes.cast(), ADDRESSES as u32);
            let behind = if tag == 0 {
                bytes.add(ADDRESSES)
            } else {
                bytes.add(ADDRESSES + TAG)
            };
            addresses
                | bpf_skb_load_bytes(self.pointer(), ADDRESSES as u32, behind.cast(), rest as u32)
        };
        if loaded != 0 {
            held.discard(0);
            return false;
        }
        held.submit(0);
        true
    }

    #[inline(always)]
    fn without_link(&self) -> Option<u16> {
        // SAFETY: as in `field`.
        let without = unsafe { ptr::read_volatile(&raw const (*self.0).cb[0]) };
        (without != 0).then(|| u16::from_be(field!(self, protocol) as u16))
    }

    #[inline(always)]
    fn tag(&self) -> Option<U16> {
        (field!(self, vlan_present) != 0).then(|| U16::new(field!(self, vlan_tci) as u16))
    }

    #[inline(always)]
    fn tag_ethertype(&self) -> u16 {
        u16::from_be(field!(self, vlan_proto) as u16)
    }

    #[inline(always)]
    fn for_host(&self) -> Option<bool> {
        Some(field!(self, pkt_type) != PACKET_OTHERHOST)
    }

    #[inline(always)]
    fn segment(&self) -> u32 {
        field!(self, gso_size)
    }

    #[inline(always)]
    fn packets(&self) -> u32 {
        let packets = field!(self, gso_segs);
        if packets != 0 {
            return packets;
        }
        // Not counted yet where a guest or a tunnel made it.
        let length = field!(self, len);
        length
            .checked_div(self.segment())
            .map_or(1, |packets| packets + 1)
    }

    #[inline(always)]
    fn pull(&mut self, bytes: usize) -> Option<()> {
        let (data, end) = self.bounds();
        let wanted = bytes.min(self.length());
        if data + wanted <= end {
            return Some(());
        }
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_skb_pull_data(self.0, wanted as u32) })
    }

    #[inline(always)]
    fn change_sum(&mut self, offset: usize, change: &SumChange) -> Option<Option<()>> {
        let zero = if change.optional {
            u64::from(BPF_F_MARK_MANGLED_0)
        } else {
            0
        };
        if change.addresses != Sum::default() {
            let flags = zero | u64::from(BPF_F_PSEUDO_HDR);
            let wide = if change.wide { BPF_F_IPV6 } else { 0 };
            let mut changed = self.replace_sum(offset, change.addresses, flags | wide);
            if changed.is_none() && change.wide {
                changed = self.replace_sum(offset, change.addresses, flags);
            }
            if changed.is_none() {
                return Some(None);
            }
        }
        if change.ports != Sum::default() {
            return Some(self.replace_sum(offset, change.ports, zero));
        }
        Some(Some(()))
    }

    #[inline(always)]
    fn note_change(&mut self, change: Sum) {
        // SAFETY: as in `adjust_room`. It fails where the device summed nothing up, and that is fine.
        unsafe { bpf_csum_update(self.0, change.folded_once()) };
    }

    #[inline(always)]
    fn add_link_header(&mut self) -> Option<()> {
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_skb_change_head(self.0, ETHERNET as u32, 0) })
    }

    #[inline(always)]
    fn pop_tag(&mut self) -> Option<()> {
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_skb_vlan_pop(self.0) })
    }

    #[inline(always)]
    fn push_tag(&mut self, ethertype: u16, control: U16) -> Option<()> {
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_skb_vlan_push(self.0, ethertype.to_be(), control.get()) })
    }

    #[inline(always)]
    fn remove(&mut self, bytes: usize) -> Option<()> {
        // SAFETY: as in `adjust_room`.
        done(unsafe { bpf_skb_adjust_room(self.0, -(bytes as i32), BPF_ADJ_ROOM_MAC, 0) })
    }

    #[inline(always)]
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()> {
        // SAFETY: as in `adjust_room`; no more than `bytes` are written, at most 64.
        done(unsafe {
            bpf_skb_load_bytes(
                self.pointer(),
                offset as u32,
                target.as_mut_ptr().cast(),
                bytes as u32,
            )
        })
    }

    #[inline(always)]
    fn insert(&mut self, bytes: usize, content: Inserted) -> Option<()> {
        let network = match content.family {
            4 => BPF_F_ADJ_ROOM_ENCAP_L3_IPV4,
            6 => BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
            _ => 0,
        };
        // By these the kernel makes the segments of a super-packet.
        let transport = match content.protocol {
            protocol::UDP => BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
            protocol::GRE => BPF_F_ADJ_ROOM_ENCAP_L4_GRE,
            _ => 0,
        };
        let flags = network | transport;
        if self.segment() == 0 {
            return self.adjust_room(bytes, flags);
        }
        // The segments of a TCP super-packet become smaller. Others cannot; that they fit was seen to.
        self.adjust_room(bytes, flags)
            .or_else(|| self.adjust_room(bytes, flags | BPF_F_ADJ_ROOM_FIXED_GSO))
    }
}
