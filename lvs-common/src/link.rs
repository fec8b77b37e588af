//! Ethernet: where the IP packet begins, and the header that sends it on.

use zerocopy::byteorder::network_endian::U16;

use crate::abi::{Config, Mac};
use crate::packet::Packet;
use crate::verdict::{Reason, Verdict};
use crate::wire::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, Vlan};

const ETHERNET: usize = 14;
const TAG: usize = 4;

/// VLAN tags (priority and id), outer first; 0: none.
pub type Tags = [U16; 2];

/// No VLAN tag.
pub const UNTAGGED: Tags = [U16::ZERO; 2];

/// The link header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Destination address: the director's own.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// VLAN tags.
    pub tags: Tags,
    /// Protocol of the payload.
    pub ethertype: u16,
    /// Offset of the payload.
    pub payload: usize,
}

/// Reads the link header.
///
/// # Errors
///
/// Why a frame is dropped that ends before its header does.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, link: &mut Link) -> Result<(), Reason> {
    let header: &Ethernet = packet.header(0).ok_or(Reason::Truncated)?;
    link.destination = header.destination;
    link.source = header.source;
    link.tags = UNTAGGED;
    link.ethertype = header.ethertype.get();
    link.payload = ETHERNET;
    if is_vlan(link.ethertype) {
        let outer: &Vlan = packet.header(ETHERNET).ok_or(Reason::Truncated)?;
        link.tags = [outer.control, U16::ZERO];
        link.ethertype = outer.ethertype.get();
        link.payload = ETHERNET + TAG;
        if is_vlan(link.ethertype) {
            let inner: &Vlan = packet.header(ETHERNET + TAG).ok_or(Reason::Truncated)?;
            link.tags = [outer.control, inner.control];
            link.ethertype = inner.ethertype.get();
            link.payload = ETHERNET + 2 * TAG;
        }
    }
    Ok(())
}

/// Whether this machine is meant by a frame, as far as its addresses are known.
///
/// A switch sends frames for addresses it does not know everywhere, and the program sees them whether
/// or not the interface is promiscuous: of two directors that both have a service the one that is not
/// meant must not forward its packets, too.
#[inline(always)]
pub fn is_own(config: &Config, destination: &Mac) -> bool {
    let count = config.own_count;
    let address = Config::own_address(*destination);
    // Frames for a group are for every member of it.
    let [first, ..] = *destination;
    if count == 0 || first & 1 != 0 {
        return true;
    }
    let known = config.own.iter().take(count as usize);
    known.copied().any(|own| own == address)
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN
}

/// Where a frame is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Next hop's address.
    pub destination: Mac,
    /// Own address.
    pub source: Mac,
    /// VLAN tags.
    pub tags: Tags,
    /// Interface to send by.
    pub interface: u32,
}

/// Bytes of a link header with these tags.
#[inline(always)]
fn header(tags: Tags) -> usize {
    let [outer, inner] = tags;
    if outer.get() == 0 {
        ETHERNET
    } else if inner.get() == 0 {
        ETHERNET + TAG
    } else {
        ETHERNET + 2 * TAG
    }
}

/// Makes the space before the IP packet, which begins at `payload`, as large as a link header with these
/// tags and an outer IP header of `outer` bytes need. Returns the offset of what follows the link header.
#[inline(always)]
pub fn make_room<P: Packet>(
    packet: &mut P,
    payload: usize,
    tags: Tags,
    outer: usize,
) -> Option<usize> {
    let offset = header(tags);
    let wanted = offset + outer;
    if wanted > payload {
        packet.grow(wanted - payload)?;
    } else if wanted < payload {
        packet.shrink(payload - wanted)?;
    }
    Some(offset)
}

impl Egress {
    /// Writes the link header.
    #[inline(always)]
    pub fn write<P: Packet>(&self, packet: &mut P, ethertype: u16) -> Option<()> {
        let [outer, inner] = self.tags;
        let first = if outer.get() == 0 {
            ethertype
        } else if inner.get() == 0 {
            tag(packet, ETHERNET, outer, ethertype)?;
            ETHERTYPE_VLAN
        } else {
            tag(packet, ETHERNET, outer, ETHERTYPE_VLAN)?;
            tag(packet, ETHERNET + TAG, inner, ethertype)?;
            ETHERTYPE_SERVICE_VLAN
        };
        let header: &mut Ethernet = packet.header_mut(0)?;
        header.destination = self.destination;
        header.source = self.source;
        header.ethertype = U16::new(first);
        Some(())
    }

    /// The verdict that sends the frame.
    #[inline(always)]
    pub fn verdict<P: Packet>(&self, packet: &P, reason: Reason) -> Verdict {
        if self.interface == packet.interface() {
            Verdict::transmit(reason)
        } else {
            Verdict::redirect(self.interface, reason)
        }
    }
}

#[inline(always)]
fn tag<P: Packet>(packet: &mut P, offset: usize, control: U16, ethertype: u16) -> Option<()> {
    let header: &mut Vlan = packet.header_mut(offset)?;
    header.control = control;
    header.ethertype = U16::new(ethertype);
    Some(())
}
