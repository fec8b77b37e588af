//! Kernel contexts as [`Packet`]s: the only place that touches packet memory.

use core::ffi::c_void;
use core::mem::size_of;

use lvs_common::checksum::{Sum, SumChange};
use lvs_common::packet::{Header, Inserted, MAX_OFFSET, Packet};
use lvs_common::wire::ETHERTYPE_VLAN;
use zerocopy::byteorder::network_endian::U16;

use crate::routes::KernelRoutes;
use crate::verifier;

/// A kernel context: the bytes of a packet, and how its ends may be moved.
pub(crate) trait Context {
    /// See [`Packet::BUFFER`], and likewise for all that have the name of one of its methods.
    const BUFFER: bool = false;
    /// Addresses of the first byte and of the one after the last. They change when the packet is grown or
    /// shrunk, so they are read anew each time.
    fn bounds(&self) -> (usize, usize);
    /// Bytes of the packet.
    fn length(&self) -> usize {
        let (data, end) = self.bounds();
        end - data
    }
    /// Index of the interface it came by.
    fn interface(&self) -> u32;
    /// The context itself, for helpers.
    fn pointer(&self) -> *mut c_void;
    /// Copies so many of its first bytes, one at least, to a place that has room for them. False: it has not as many.
    fn load(&self, to: *mut c_void, bytes: u32) -> bool;
    /// Moves the first byte by so many.
    fn adjust_head(&mut self, delta: i32) -> Option<()>;
    /// Moves the end by so many bytes.
    fn adjust_tail(&mut self, delta: i32) -> Option<()>;
    /// See [`Packet::hold`].
    fn hold(&mut self, _mtu: u32) -> bool {
        false
    }
    fn without_link(&self) -> Option<u16> {
        None
    }
    fn tag(&self) -> Option<U16> {
        None
    }
    fn tag_ethertype(&self) -> u16 {
        ETHERTYPE_VLAN
    }
    fn for_host(&self) -> Option<bool> {
        None
    }
    fn segment(&self) -> u32 {
        0
    }
    fn packets(&self) -> u32 {
        1
    }
    fn pull(&mut self, _bytes: usize) -> Option<()> {
        Some(())
    }
    /// `None`: the checksum is in the bytes as any other field is.
    fn change_sum(&mut self, _offset: usize, _change: &SumChange) -> Option<Option<()>> {
        None
    }
    fn note_change(&mut self, _change: Sum) {}
    fn add_link_header(&mut self) -> Option<()> {
        None
    }
    fn pop_tag(&mut self) -> Option<()> {
        None
    }
    fn push_tag(&mut self, _ethertype: u16, _control: U16) -> Option<()> {
        None
    }
    fn insert(&mut self, _bytes: usize, _content: Inserted) -> Option<()> {
        None
    }
    /// See [`Packet::remove`].
    fn remove(&mut self, bytes: usize) -> Option<()> {
        self.adjust_head(bytes as i32)
    }
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()>;
}

/// A packet in a context.
pub(crate) struct Frame<C> {
    pub(crate) context: C,
}

impl<C: Context> Frame<C> {
    /// The one bounds check: where `T` lies in the packet.
    #[inline(always)]
    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let offset = bounded(offset)?;
        let (data, end) = self.context.bounds();
        let start = data + offset;
        if start + size_of::<T>() > end {
            return None;
        }
        Some(start as *mut T)
    }
}

/// An offset that the verifier knows to be small. The mask changes nothing; it bounds the very register
/// that is added, where older verifiers forget what a comparison said of a copy.
#[inline(always)]
fn bounded(offset: usize) -> Option<usize> {
    if core::intrinsics::is_val_statically_known(offset) {
        return Some(offset);
    }
    (offset <= MAX_OFFSET).then(|| verifier::hidden(offset) & MAX_OFFSET)
}

impl<C: Context> Packet for Frame<C> {
    const BUFFER: bool = C::BUFFER;

    type Routes = KernelRoutes;

    #[inline(always)]
    fn routes(&self) -> KernelRoutes {
        KernelRoutes(self.context.pointer())
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.context.length()
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.context.interface()
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let header = self.place::<T>(offset)?;
        // SAFETY: `place` checked that the bytes lie within the packet; `T` takes any bytes at any
        // address; nobody else writes to a packet while the program runs, and `self` is borrowed.
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
        self.context.adjust_head(-(bytes as i32))
    }

    #[inline(always)]
    fn shrink(&mut self, bytes: usize) -> Option<()> {
        self.context.adjust_head(bytes as i32)
    }

    #[inline(always)]
    fn hold(&mut self, mtu: u32) -> bool {
        self.context.hold(mtu)
    }

    #[inline(always)]
    fn truncate(&mut self, length: usize) -> Option<()> {
        let delta = length as i32 - self.length() as i32;
        if delta > 0 {
            return None;
        }
        self.context.adjust_tail(delta)
    }

    #[inline(always)]
    fn without_link(&self) -> Option<u16> {
        self.context.without_link()
    }

    #[inline(always)]
    fn tag(&self) -> Option<U16> {
        self.context.tag()
    }

    #[inline(always)]
    fn tag_ethertype(&self) -> u16 {
        self.context.tag_ethertype()
    }

    #[inline(always)]
    fn for_host(&self) -> Option<bool> {
        self.context.for_host()
    }

    #[inline(always)]
    fn segment(&self) -> u32 {
        self.context.segment()
    }

    #[inline(always)]
    fn packets(&self) -> u32 {
        self.context.packets()
    }

    #[inline(always)]
    fn pull(&mut self, bytes: usize) -> Option<()> {
        self.context.pull(bytes)
    }

    #[inline(always)]
    fn change_sum(&mut self, offset: usize, change: &SumChange) -> Option<()> {
        if let Some(changed) = self.context.change_sum(offset, change) {
            return changed;
        }
        let sum: &mut [u8; 2] = self.header_mut(offset)?;
        *sum = change.update(*sum);
        Some(())
    }

    #[inline(always)]
    fn note_change(&mut self, change: Sum) {
        self.context.note_change(change);
    }

    #[inline(always)]
    fn add_link_header(&mut self) -> Option<()> {
        self.context.add_link_header()
    }

    #[inline(always)]
    fn pop_tag(&mut self) -> Option<()> {
        self.context.pop_tag()
    }

    #[inline(always)]
    fn push_tag(&mut self, ethertype: u16, control: U16) -> Option<()> {
        self.context.push_tag(ethertype, control)
    }

    #[inline(always)]
    fn insert(&mut self, bytes: usize, content: Inserted) -> Option<()> {
        self.context.insert(bytes, content)
    }

    #[inline(always)]
    fn remove(&mut self, bytes: usize) -> Option<()> {
        self.context.remove(bytes)
    }

    #[inline(always)]
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()> {
        // The verifier of 6.1 learns nothing from a comparison with zero: it is to see that one is added.
        let bytes = verifier::hidden(bytes.wrapping_sub(1)) & (size_of_val(target) - 1);
        self.context.copy(offset, bytes + 1, target)
    }
}
