//! Ethernet headers with VLAN tags: parsed, and written for the next hop.

use zerocopy::byteorder::network_endian::U16;

use crate::abi::{Config, Mac};
use crate::connection::Client;
use crate::packet::Packet;
use crate::verdict::{Reason, Verdict};
use crate::wire::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, Vlan};

/// Bytes of an Ethernet header without tags.
pub const ETHERNET: usize = 14;
const TAG: usize = 4;

/// VLAN tags (priority and id), outer first; 0: none.
pub type Tags = [U16; 2];

/// No VLAN tag.
pub const UNTAGGED: Tags = [U16::ZERO; 2];

/// The Ethernet header of a frame, VLAN tags included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
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

impl EthernetHeader {
    /// The client that sent a packet by this interface: replies go there.
    #[inline(always)]
    pub const fn client(&self, interface: u32) -> Client {
        Client {
            vlan: self.tags,
            mac: self.source,
            director: self.destination,
            interface,
        }
    }
}

/// Reads the Ethernet header.
///
/// # Errors
///
/// Why a frame is dropped that ends before its header does.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, header: &mut EthernetHeader) -> Result<(), Reason> {
    let wire: &Ethernet = packet.header(0).ok_or(Reason::Truncated)?;
    header.destination = wire.destination;
    header.source = wire.source;
    header.tags = UNTAGGED;
    header.ethertype = wire.ethertype.get();
    header.payload = ETHERNET;
    if is_vlan(header.ethertype) {
        let outer: &Vlan = packet.header(ETHERNET).ok_or(Reason::Truncated)?;
        header.tags = [outer.control, U16::ZERO];
        header.ethertype = outer.ethertype.get();
        header.payload = ETHERNET + TAG;
        if is_vlan(header.ethertype) {
            let inner: &Vlan = packet.header(ETHERNET + TAG).ok_or(Reason::Truncated)?;
            header.tags = [outer.control, inner.control];
            header.ethertype = inner.ethertype.get();
            header.payload = ETHERNET + 2 * TAG;
        }
    }
    Ok(())
}

/// Returns whether a frame is for this machine, as far as its addresses are known.
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

/// The way of a frame to its next hop.
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

/// Bytes of a Ethernet header with these tags.
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

/// Makes the space before the IP packet, which begins at `payload`, as large as a Ethernet header with these
/// tags and an outer IP header of `outer` bytes need. Returns the offset of what follows the Ethernet header.
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
    /// Writes the Ethernet header.
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
