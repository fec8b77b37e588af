//! A set of the connection table in its map, as [`Ways`].

use core::ptr;

use lvs_common::abi::WAYS;
use lvs_common::connection::table::{New, Ways};
use lvs_common::connection::{Client, Entry, Key, Record, Tag};
use lvs_common::family::Family;

use crate::maps::Set;
use crate::{atomic, verifier};

/// A set.
pub(crate) struct SetPointer<F: Family>(*mut Set<F>);

impl<F: Family> Clone for SetPointer<F> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Family> Copy for SetPointer<F> {}

impl<F: Family> SetPointer<F> {
    /// # Safety
    ///
    /// `set` points to a value of a connection table, which stays where it is for the program's run.
    #[inline(always)]
    pub(crate) unsafe fn new(set: *mut Set<F>) -> Self {
        Self(set)
    }

    /// The mask keeps every way within the set, for the reader and for the verifier.
    #[inline(always)]
    fn way(self, way: u32) -> *mut Entry<F> {
        let way = if core::intrinsics::is_val_statically_known(way) {
            way as usize
        } else {
            verifier::hidden(way as usize)
        };
        let way = way & (WAYS as usize - 1);
        // SAFETY: `new`'s promise, and an index below the number of ways.
        unsafe { (&raw mut (*self.0).ways).cast::<Entry<F>>().add(way) }
    }
}

// SAFETY of all blocks below: `way` points to an entry of the set. Other CPUs and the daemon access
// it at the same time, which the protocol in `lvs_common::connection::table` accounts for: tags
// change by atomic instructions only and are read volatile, and whatever else is read is thrown
// away unless the tag is the same afterwards. Any bytes are a valid entry.
impl<F: Family> Ways<F> for SetPointer<F> {
    #[inline(always)]
    fn tag(self, way: u32) -> Tag {
        // SAFETY: see above.
        let tag = Tag(unsafe { ptr::read_volatile(&raw const (*self.way(way)).tag) });
        verifier::fence();
        tag
    }

    /// A load whose value nobody waits for: BPF has no prefetch.
    #[inline(always)]
    fn fetch(self) {
        let mut way = 0;
        while way < WAYS {
            self.tag(way);
            way += 1;
        }
    }

    #[inline(always)]
    fn exchange(self, way: u32, expected: Tag, new: Tag) -> bool {
        // SAFETY: see above.
        unsafe { atomic::compare_exchange(&raw mut (*self.way(way)).tag, expected.0, new.0) }
    }

    #[inline(always)]
    fn publish(self, way: u32, tag: Tag) {
        // SAFETY: see above.
        unsafe { atomic::exchange(&raw mut (*self.way(way)).tag, tag.0) };
    }

    #[inline(always)]
    fn holds(self, way: u32, key: &Key<F>) -> bool {
        // SAFETY: see above.
        unsafe { ptr::read(&raw const (*self.way(way)).key) }.same(key)
    }

    #[inline(always)]
    fn seen(self, way: u32) -> u32 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(way)).seen) }
    }

    #[inline(always)]
    fn timeout(self, way: u32) -> u32 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(way)).timeout) }
    }

    #[inline(always)]
    fn packets(self, way: u32) -> u32 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(way)).packets) }
    }

    #[inline(always)]
    fn partner(self, way: u32) -> u32 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(way)).partner) }
    }

    #[inline(always)]
    fn key(self, way: u32) -> Key<F> {
        // SAFETY: see above.
        unsafe { ptr::read(&raw const (*self.way(way)).key) }
    }

    #[inline(always)]
    fn record(self, way: u32) -> Record {
        // SAFETY: see above.
        unsafe { ptr::read(&raw const (*self.way(way)).record) }
    }

    #[inline(always)]
    fn client(self, way: u32) -> Client {
        // SAFETY: see above.
        unsafe { ptr::read(&raw const (*self.way(way)).client) }
    }

    #[inline(always)]
    fn write(self, way: u32, new: &New<F>) {
        let to = self.way(way);
        // SAFETY: see above; the way is the caller's own.
        unsafe {
            (*to).seen = new.now;
            (*to).key = new.key;
            (*to).record = new.record;
            (*to).packets = 1;
            (*to).timeout = new.timeout;
            (*to).partner = new.partner;
            (*to).client = new.client;
        }
    }

    #[inline(always)]
    fn hint(self) -> bool {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(0)).hint) != 0 }
    }

    #[inline(always)]
    fn set_hint(self) {
        // SAFETY: see above.
        unsafe { atomic::exchange(&raw mut (*self.way(0)).hint, 1) };
    }

    #[inline(always)]
    fn set_partner(self, way: u32, partner: u32) {
        // SAFETY: see above.
        unsafe { ptr::write_volatile(&raw mut (*self.way(way)).partner, partner) };
    }

    #[inline(always)]
    fn touch(self, way: u32, now: u32, timeout: u32) -> u32 {
        let entry = self.way(way);
        // SAFETY: see above.
        let packets = unsafe { (*entry).packets.wrapping_add(1) };
        // SAFETY: see above.
        unsafe { (*entry).packets = packets };
        self.touch_reply(way, now, timeout);
        packets
    }

    #[inline(always)]
    fn touch_reply(self, way: u32, now: u32, timeout: u32) {
        let entry = self.way(way);
        // SAFETY: see above.
        unsafe {
            if (*entry).seen != now {
                (*entry).seen = now;
            }
            if (*entry).timeout != timeout {
                (*entry).timeout = timeout;
            }
        }
    }

    #[inline(always)]
    fn set_client(self, way: u32, client: &Client) {
        // SAFETY: see above.
        unsafe { (*self.way(way)).client = *client };
    }
}
