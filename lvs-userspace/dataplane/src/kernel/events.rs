//! Events of the program: connections to be replicated.

use aya::maps::{Map, MapData, PerCpuArray, RingBuf};
use lvs_common::abi;
use parking_lot::Mutex;

use super::error::KernelError;

/// Ring buffer of connections to be replicated, by the ids of their entries, see
/// [`lvs_common::connection::EntryId`].
pub struct Events {
    ring: Mutex<RingBuf<MapData>>,
    lost: PerCpuArray<MapData, u64>,
}

impl Events {
    pub(super) fn new(map: Map, lost: PerCpuArray<MapData, u64>) -> Result<Self, KernelError> {
        let ring = RingBuf::try_from(map).map_err(KernelError::map("cannot use", abi::EVENTS))?;
        Ok(Self {
            ring: Mutex::new(ring),
            lost,
        })
    }

    /// Removes at most so many events from the ring buffer.
    pub fn drain(&self, most: usize) -> Vec<u32> {
        let mut ring = self.ring.lock();
        let mut events = Vec::new();
        while events.len() < most
            && let Some(event) = ring.next()
        {
            events.extend(event.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)));
        }
        events
    }

    /// Events that were lost because the buffer was full, since the maps were made.
    pub fn lost(&self) -> u64 {
        self.lost.get(&0, 0).map_or(0, |values| values.iter().sum())
    }
}
