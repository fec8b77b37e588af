//! A frame with headroom, as a driver hands it over.

use lvs_common::packet::{Header, Inserted, MAX_OFFSET, Packet};
use zerocopy::IntoBytes as _;

use super::memory::INTERFACE;
use super::route_table::RouteTable;

/// Space that the driver leaves before a frame.
pub(crate) const HEADROOM: usize = 128;

/// A frame with headroom. Room that was never written holds stale bytes, as in a real driver.
pub(crate) struct Frame {
    bytes: Vec<u8>,
    start: usize,
    pub(crate) interface: u32,
    pub(crate) routes: &'static RouteTable,
    /// Somebody takes frames to hold, and took so many.
    pub(crate) holder: Option<u32>,
}

impl Frame {
    pub(crate) fn new(frame: &[u8]) -> Self {
        let mut bytes = vec![0xa5; HEADROOM];
        bytes.extend(frame);
        Self {
            bytes,
            start: HEADROOM,
            interface: INTERFACE,
            routes: RouteTable::none(),
            holder: None,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes[self.start..].to_vec()
    }
}

impl Packet for Frame {
    type Routes = &'static RouteTable;
    fn routes(&self) -> &'static RouteTable {
        self.routes
    }
    fn length(&self) -> usize {
        self.bytes.len() - self.start
    }
    fn interface(&self) -> u32 {
        self.interface
    }
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let start = self.start + Some(offset).filter(|offset| *offset <= MAX_OFFSET)?;
        T::ref_from_bytes(self.bytes.get(start..start + size_of::<T>())?).ok()
    }
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let start = self.start + Some(offset).filter(|offset| *offset <= MAX_OFFSET)?;
        T::mut_from_bytes(self.bytes.get_mut(start..start + size_of::<T>())?).ok()
    }
    fn hold(&mut self, _mtu: u32) -> bool {
        self.holder = self.holder.map(|held| held + 1);
        self.holder.is_some()
    }
    fn grow(&mut self, bytes: usize) -> Option<()> {
        self.start = self.start.checked_sub(bytes)?;
        Some(())
    }
    fn shrink(&mut self, bytes: usize) -> Option<()> {
        // The kernel leaves an Ethernet header at least.
        if bytes + 14 > self.length() {
            return None;
        }
        self.start += bytes;
        Some(())
    }
    fn truncate(&mut self, length: usize) -> Option<()> {
        if length < 14 || length > self.length() {
            return None;
        }
        self.bytes.truncate(self.start + length);
        Some(())
    }
    /// Only asked for by the program for probes.
    fn insert(&mut self, bytes: usize, _content: Inserted) -> Option<()> {
        let behind = self.start + 14;
        let room = std::iter::repeat_n(0xa5, bytes);
        self.bytes.splice(behind..behind, room);
        Some(())
    }
    fn copy(&self, offset: usize, bytes: usize, target: &mut [u64; 8]) -> Option<()> {
        let source = self.bytes[self.start..].get(offset..offset + bytes)?;
        target.as_mut_bytes()[..bytes].copy_from_slice(source);
        Some(())
    }
}
