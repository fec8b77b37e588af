//! Addresses and ports of a frame's image, which may be cut off behind its headers.

use std::net::IpAddr;

use lvs_common::connection::{Ports, Protocol};
use lvs_common::ethernet::{self, EthernetHeader};
use lvs_common::family::{V4, V6};
use lvs_common::network::{Datagram, Network, Part};
use lvs_common::packet::{Header, Packet};
use lvs_common::routes::{Lookup, Routes};
use lvs_common::walk::Walk;

use crate::address::narrow;

/// The IP packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Its source.
    pub(super) source: IpAddr,
    /// Its destination.
    pub(super) destination: IpAddr,
    /// IP protocol number.
    pub(super) protocol: u8,
    /// Source and destination port, where it has any.
    pub(super) ports: Option<[u16; 2]>,
}

/// The IP packet in the image of a frame; `None`: it is none, or cut off before its addresses.
pub(super) fn flow(image: &[u8], has_ethernet: bool) -> Option<Flow> {
    let image = Image::new(image, has_ethernet);
    let mut header = EthernetHeader::EMPTY;
    ethernet::parse(&image, &mut header).ok()?;
    match header.ethertype {
        V4::ETHERTYPE => internet::<V4>(&image, header.payload),
        V6::ETHERTYPE => internet::<V6>(&image, header.payload),
        _ => None,
    }
}

fn internet<F: Network>(image: &Image<'_>, offset: usize) -> Option<Flow> {
    let address = F::narrow(&[0; 16]);
    let mut datagram = Datagram::<F> {
        network: 0,
        transport: 0,
        end: 0,
        source: address,
        destination: address,
        protocol: 0,
        hop_limit: 0,
        part: Part::Whole,
        identification: 0,
    };
    F::parse_embedded(image, Once, offset, &mut datagram)?;
    let has_ports = Protocol::from_number(datagram.protocol).is_some();
    let ports = (has_ports && datagram.part != Part::Later)
        .then(|| image.header::<Ports>(datagram.transport))
        .flatten();
    Some(Flow {
        source: narrow(&F::widen(datagram.source), F::NUMBER),
        destination: narrow(&F::widen(datagram.destination), F::NUMBER),
        protocol: datagram.protocol,
        ports: ports.map(|ports| [ports.source.get(), ports.destination.get()]),
    })
}

/// Walks as the packet path does on a host.
#[derive(Clone, Copy)]
struct Once;

impl Walk for Once {}

/// A frame that is only read.
pub(super) struct Image<'a> {
    bytes: &'a [u8],
    has_ethernet: bool,
}

impl<'a> Image<'a> {
    /// The image of a frame that has an Ethernet header, or has none.
    pub(super) const fn new(bytes: &'a [u8], has_ethernet: bool) -> Self {
        Self {
            bytes,
            has_ethernet,
        }
    }
}

/// The routes of nobody.
#[derive(Clone, Copy)]
pub(super) struct NoRoutes;

impl Routes for NoRoutes {
    fn look_up(self, _lookup: &mut Lookup, _flags: u32) -> u32 {
        Lookup::NOT_FORWARDED
    }
}

impl Packet for Image<'_> {
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
        let end = offset.checked_add(size_of::<T>())?;
        T::ref_from_bytes(self.bytes.get(offset..end)?).ok()
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
