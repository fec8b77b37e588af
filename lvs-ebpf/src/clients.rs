//! A set of limited clients in its map, as [`ClientWays`].

use core::ptr;

use lvs_common::abi::{CLIENT_WAYS, ClientSet, LimitedClient};
use lvs_common::filter::clients::{ClientKey, ClientWays, Paced};

use crate::{atomic, verifier};

/// A set.
#[derive(Clone, Copy)]
pub(crate) struct ClientSetPointer(*mut ClientSet);

impl ClientSetPointer {
    /// # Safety
    ///
    /// `set` points to a value of the table of clients, which stays where it is for the program's run.
    #[inline(always)]
    pub(crate) unsafe fn new(set: *mut ClientSet) -> Self {
        Self(set)
    }

    /// The mask keeps every way within the set, for the reader and for the verifier.
    #[inline(always)]
    fn way(self, way: u32) -> *mut LimitedClient {
        let way = if core::intrinsics::is_val_statically_known(way) {
            way as usize
        } else {
            verifier::hidden(way as usize)
        };
        let way = way & (CLIENT_WAYS as usize - 1);
        // SAFETY: `new`'s promise, and an index below the number of ways.
        unsafe { (&raw mut (*self.0).ways).cast::<LimitedClient>().add(way) }
    }

    #[inline(always)]
    fn paid_place(self, way: u32, what: Paced) -> *mut u64 {
        let way = self.way(way);
        // SAFETY: fields of a map value, see `way`.
        unsafe {
            match what {
                Paced::Opening => &raw mut (*way).opening,
                Paced::Sending => &raw mut (*way).sending,
            }
        }
    }
}

// SAFETY of all blocks below: `way` points to a client of the set. Other CPUs and the daemon access it at the same
// time: words that change are read volatile and changed by atomic instructions or single stores, and whoever loses a
// race is limited by what the winner left. Any bytes are a valid client.
impl ClientWays for ClientSetPointer {
    #[inline(always)]
    fn prints(self) -> u64 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.0).prints) }
    }

    #[inline(always)]
    fn exchange_prints(self, expected: u64, new: u64) -> bool {
        // SAFETY: see above.
        unsafe { atomic::compare_exchange_double(&raw mut (*self.0).prints, expected, new) }
    }

    #[inline(always)]
    fn holds(self, way: u32, key: &ClientKey) -> bool {
        let way = self.way(way);
        // SAFETY: see above; addresses lie at multiples of eight bytes on both sides.
        let differences = unsafe {
            let here = (&raw const (*way).address).cast::<u64>();
            let wanted = (&raw const key.address).cast::<u64>();
            (ptr::read_volatile(here) ^ *wanted)
                | (ptr::read_volatile(here.add(1)) ^ *wanted.add(1))
                | u64::from((*way).service ^ key.service)
        };
        differences == 0
    }

    #[inline(always)]
    fn write(self, way: u32, client: &LimitedClient) {
        // SAFETY: see above.
        unsafe { *self.way(way) = *client };
    }

    #[inline(always)]
    fn seen(self, way: u32) -> u32 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(way)).seen) }
    }

    #[inline(always)]
    fn see(self, way: u32, now: u32) {
        // SAFETY: see above.
        unsafe { ptr::write_volatile(&raw mut (*self.way(way)).seen, now) };
    }

    #[inline(always)]
    fn connections(self, way: u32) -> i32 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(&raw const (*self.way(way)).connections).cast_signed() }
    }

    #[inline(always)]
    fn count(self, way: u32, change: u32) {
        // SAFETY: see above.
        unsafe { atomic::fetch_add(&raw mut (*self.way(way)).connections, change) };
    }

    #[inline(always)]
    fn paid(self, way: u32, what: Paced) -> u64 {
        // SAFETY: see above.
        unsafe { ptr::read_volatile(self.paid_place(way, what)) }
    }

    #[inline(always)]
    fn exchange_paid(self, way: u32, what: Paced, expected: u64, new: u64) -> bool {
        // SAFETY: see above.
        unsafe { atomic::compare_exchange_double(self.paid_place(way, what), expected, new) }
    }
}
