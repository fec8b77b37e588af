//! Addresses and ports of a frame's image, which may be cut off behind its headers.

use std::net::IpAddr;

use lvs_common::connection::{Ports, Protocol};
use lvs_common::family::{V4, V6};
use lvs_common::network::{Network, Part};
use lvs_common::packet::Packet as _;

use crate::address::narrow;
use crate::frame_image::FrameImage;

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
    let image = if has_ethernet {
        FrameImage::new(image)
    } else {
        FrameImage::without_link(image)
    };
    let header = image.link()?;
    match header.ethertype {
        V4::ETHERTYPE => internet::<V4>(&image, header.payload),
        V6::ETHERTYPE => internet::<V6>(&image, header.payload),
        _ => None,
    }
}

fn internet<F: Network>(image: &FrameImage<'_>, offset: usize) -> Option<Flow> {
    let datagram = image.cut_datagram::<F>(offset)?;
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
