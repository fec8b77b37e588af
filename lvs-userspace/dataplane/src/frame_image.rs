//! The bytes of a frame as a packet of the packet path: for its parsers, in user space. They are only read, and may be
//! cut off behind the headers.

use lvs_common::ethernet::{self, EthernetHeader};
use lvs_common::family::{V4, V6};
use lvs_common::network::{Datagram, Network};
use lvs_common::packet::{Header, Packet};
use lvs_common::routes::{Lookup, Routes};
use lvs_common::walk::Walk;

/// The bytes of a frame, or of a packet without a link header.
pub(crate) struct FrameImage<'a> {
    bytes: &'a [u8],
    has_ethernet: bool,
}

impl<'a> FrameImage<'a> {
    /// Bytes that begin with an Ethernet header.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            has_ethernet: true,
        }
    }

    /// Bytes that begin with an IP header.
    pub(crate) const fn without_link(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            has_ethernet: false,
        }
    }

    /// The Ethernet header with its VLAN tags; without link header, one whose payload begins at once.
    pub(crate) fn link(&self) -> Option<EthernetHeader> {
        let mut link = EthernetHeader::EMPTY;
        ethernet::parse(self, &mut link).ok()?;
        Some(link)
    }

    /// The IP packet that begins at this offset.
    pub(crate) fn datagram<F: Network>(&self, offset: usize) -> Option<Datagram<F>> {
        let mut datagram = Datagram::blank();
        F::parse(self, Loop, offset, &mut datagram).ok()?;
        Some(datagram)
    }

    /// The same of a packet that may be cut off, as one inside an ICMP error is.
    pub(crate) fn cut_datagram<F: Network>(&self, offset: usize) -> Option<Datagram<F>> {
        let mut datagram = Datagram::blank();
        F::parse_embedded(self, Loop, offset, &mut datagram)?;
        Some(datagram)
    }
}

impl Packet for FrameImage<'_> {
    type Routes = NoRoutes;

    fn routes(&self) -> NoRoutes {
        NoRoutes
    }

    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn interface(&self) -> u32 {
        0
    }

    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let bytes = self.bytes.get(offset..)?;
        T::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    fn header_mut<T: Header>(&mut self, _offset: usize) -> Option<&mut T> {
        None
    }

    fn grow(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    fn shrink(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    fn truncate(&mut self, _length: usize) -> Option<()> {
        None
    }

    fn without_link(&self) -> Option<u16> {
        let version = self.bytes.first().map_or(0, |byte| byte >> 4);
        (!self.has_ethernet).then_some(match version {
            4 => V4::ETHERTYPE,
            6 => V6::ETHERTYPE,
            _ => 0,
        })
    }
}

/// Nothing is looked up.
#[derive(Clone, Copy)]
pub(crate) struct NoRoutes;

impl Routes for NoRoutes {
    fn look_up(self, _lookup: &mut Lookup, _flags: u32) -> u32 {
        Lookup::NOT_FORWARDED
    }
}

/// A plain loop.
#[derive(Clone, Copy)]
struct Loop;

impl Walk for Loop {}
