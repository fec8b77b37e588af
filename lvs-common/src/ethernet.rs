//! Ethernet headers with VLAN tags: parsed, and written for the next hop.

use zerocopy::IntoBytes as _;
use zerocopy::byteorder::network_endian::U16;

use crate::abi::{Config, EthernetAddresses, Mac, UpperKey};
use crate::connection::Client;
use crate::packet::{Inserted, Packet};
use crate::verdict::{Reason, Verdict};
use crate::wire::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, Vlan};

/// Bytes of an Ethernet header without tags.
pub const ETHERNET: usize = 14;
const TAG: usize = 4;
/// Bytes of both addresses.
const ADDRESSES: usize = 12;

/// VLAN tags (priority and id), outer first; 0: none.
pub type Tags = [U16; 2];

/// No VLAN tag.
pub const UNTAGGED: Tags = [U16::ZERO; 2];

/// The VLANs that tags name, each as in [`UpperKey`]: the outer one in the lower half. A tag with a priority alone
/// (VLAN id 0) names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlans(u32);

impl Vlans {
    /// The VLANs of no tag.
    pub const NONE: Self = Self(0);

    /// The VLAN of one tag that this ethertype announces.
    #[inline(always)]
    pub fn of(tag: U16, ethertype: u16) -> Self {
        let id = u32::from(tag.get() & 0xfff);
        let service = if ethertype == ETHERTYPE_SERVICE_VLAN {
            UpperKey::SERVICE
        } else {
            0
        };
        Self(if id == 0 { 0 } else { id | service })
    }

    /// This VLAN, and the one of a tag inside.
    #[inline(always)]
    fn with_inner(self, inner: Self) -> Self {
        Self(self.0 | inner.0 << 16)
    }

    /// Returns whether the outer VLAN is that of a tag, 0 for none, whatever announces it.
    #[inline(always)]
    pub const fn is_in(self, tag: U16) -> bool {
        self.0 & 0xfff == (tag.get() & 0xfff) as u32
    }

    /// The ethertypes that announce the tags of these VLANs, outer first.
    #[inline(always)]
    const fn ethertypes(self) -> [u16; 2] {
        [ethertype(self.0), ethertype(self.0 >> 16)]
    }

    /// The outer VLAN in the lower half, the inner one in the upper half.
    #[inline(always)]
    pub const fn to_bits(self) -> u32 {
        self.0
    }
}

/// The ethertype that announces the tag of a VLAN as in [`UpperKey`].
#[inline(always)]
const fn ethertype(vlan: u32) -> u16 {
    if vlan & UpperKey::SERVICE == 0 {
        ETHERTYPE_VLAN
    } else {
        ETHERTYPE_SERVICE_VLAN
    }
}

/// The Ethernet header of a frame, VLAN tags included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Destination address: the director's own.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// VLAN tags.
    pub tags: Tags,
    /// The VLANs that they name.
    pub vlans: Vlans,
    /// Protocol of the payload.
    pub ethertype: u16,
    /// Offset of the payload.
    pub payload: usize,
}

impl EthernetHeader {
    /// Before a frame is [parsed](parse).
    pub const EMPTY: Self = Self {
        destination: [0; 6],
        source: [0; 6],
        tags: UNTAGGED,
        vlans: Vlans::NONE,
        ethertype: 0,
        payload: 0,
    };
}

impl EthernetHeader {
    /// Returns whether the frame is for several hosts.
    #[inline(always)]
    pub const fn is_for_group(&self) -> bool {
        is_group(&self.destination)
    }
}

/// Returns whether an Ethernet address is that of a group of hosts, or of everybody.
#[inline(always)]
pub const fn is_group(address: &Mac) -> bool {
    let [first, ..] = *address;
    first & 1 != 0
}

/// Reads the Ethernet header.
///
/// # Errors
///
/// The reason to drop a frame that ends before its header does.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, header: &mut EthernetHeader) -> Result<(), Reason> {
    header.tags = UNTAGGED;
    header.vlans = Vlans::NONE;
    if let Some(ethertype) = packet.without_link() {
        header.destination = Mac::default();
        header.source = Mac::default();
        header.ethertype = ethertype;
        header.payload = 0;
        return Ok(());
    }
    let wire: &Ethernet = packet.header(0).ok_or(Reason::Truncated)?;
    header.destination = wire.destination;
    header.source = wire.source;
    header.ethertype = wire.ethertype.get();
    header.payload = ETHERNET;
    if let Some(outer) = packet.tag() {
        header.tags = [outer, U16::ZERO];
        header.vlans = Vlans::of(outer, packet.tag_ethertype());
        if is_vlan(header.ethertype) {
            let inner: &Vlan = packet.header(ETHERNET).ok_or(Reason::Truncated)?;
            header.tags = [outer, inner.control];
            header.vlans = (header.vlans).with_inner(Vlans::of(inner.control, header.ethertype));
            header.ethertype = inner.ethertype.get();
            header.payload = ETHERNET + TAG;
        }
        return Ok(());
    }
    if is_vlan(header.ethertype) {
        let outer: &Vlan = packet.header(ETHERNET).ok_or(Reason::Truncated)?;
        header.tags = [outer.control, U16::ZERO];
        header.vlans = Vlans::of(outer.control, header.ethertype);
        header.ethertype = outer.ethertype.get();
        header.payload = ETHERNET + TAG;
        if is_vlan(header.ethertype) {
            let inner: &Vlan = packet.header(ETHERNET + TAG).ok_or(Reason::Truncated)?;
            header.tags = [outer.control, inner.control];
            header.vlans = (header.vlans).with_inner(Vlans::of(inner.control, header.ethertype));
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
/// meant must not forward its packets, too. `for_host` is what the kernel says of a socket buffer.
#[inline(always)]
pub fn is_own(for_host: Option<bool>, config: &Config, destination: &Mac) -> bool {
    if let Some(for_host) = for_host {
        return for_host;
    }
    let count = config.own_count;
    let address = Config::own_address(*destination);
    // Frames for a group are for every member of it.
    if count == 0 || is_group(destination) {
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
    /// Ethernet addresses of the next hop and its own.
    pub ethernet: EthernetAddresses,
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

/// Room for outer headers: IP, and what stands between it and the packet inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Their bytes; 0: there are none.
    pub bytes: usize,
    /// The headers.
    pub content: Inserted,
}

impl Room {
    /// No outer header.
    pub const NONE: Self = Self {
        bytes: 0,
        content: Inserted::OTHER,
    };
}

/// Makes the space before the IP packet, which begins at `payload`, as large as a Ethernet header with these
/// tags and outer headers need. Returns the offset of what follows the Ethernet header.
#[inline(always)]
pub fn make_room<P: Packet>(
    packet: &mut P,
    payload: usize,
    tags: Tags,
    outer: Room,
) -> Option<usize> {
    if P::BUFFER {
        bare(packet, payload)?;
        if outer.bytes != 0 {
            packet.insert(outer.bytes, outer.content)?;
        }
        return Some(ETHERNET);
    }
    let offset = header(tags);
    let wanted = offset + outer.bytes;
    if wanted > payload {
        packet.grow(wanted - payload)?;
    } else if wanted < payload {
        packet.shrink(payload - wanted)?;
    }
    Some(offset)
}

/// Cuts the IP packet at `payload` to so many bytes and makes room for others before it. Returns the offset of that
/// room, before which [`turn_back`] completes the Ethernet header.
#[inline(always)]
pub fn make_answer_room<P: Packet>(
    packet: &mut P,
    payload: usize,
    room: usize,
    kept: usize,
) -> Option<usize> {
    if P::BUFFER {
        packet.truncate(payload + kept)?;
        bare(packet, payload)?;
        packet.insert(room, Inserted::OTHER)?;
        packet.pull(ETHERNET + room + kept)?;
        return Some(ETHERNET);
    }
    packet.grow(room)?;
    // All that may stand between the addresses and the packet; what is less is overwritten by what goes in there.
    let behind_addresses: [u8; ETHERNET + 2 * TAG - ADDRESSES] =
        *packet.header(room + ADDRESSES)?;
    *packet.header_mut(ADDRESSES)? = behind_addresses;
    packet.truncate(payload + room + kept)?;
    Some(payload)
}

/// Makes the Ethernet header of a frame that came with this one the header of an answer to it: for the host that sent
/// it, in the VLANs that it came in, however these are announced.
#[inline(always)]
pub fn turn_back<P: Packet>(packet: &mut P, came: &EthernetHeader, ethertype: u16) -> Option<()> {
    let header: &mut Ethernet = packet.header_mut(0)?;
    put_addresses(
        header,
        EthernetAddresses::new(came.source, came.destination),
    );
    if P::BUFFER {
        header.ethertype = U16::new(ethertype);
        let ([outer, inner], [announces_outer, announces_inner]) =
            (came.tags, came.vlans.ethertypes());
        // One of priority 0 without a VLAN says nothing.
        if inner.get() != 0 {
            packet.push_tag(announces_inner, inner)?;
        }
        if outer.get() != 0 {
            packet.push_tag(announces_outer, outer)?;
        }
    }
    Some(())
}

/// Gives a socket buffer whose IP packet begins at `payload` a plain Ethernet header, without tags.
#[inline(always)]
fn bare<P: Packet>(packet: &mut P, payload: usize) -> Option<()> {
    if payload == 0 {
        return packet.add_link_header();
    }
    // With none beside the bytes the helper takes the first one there, and then moves the next one beside them.
    if packet.tag().is_some() || payload > ETHERNET {
        packet.pop_tag()?;
    }
    if packet.tag().is_some() {
        packet.pop_tag()?;
    }
    Some(())
}

/// Gives a socket buffer without tags these.
#[inline(always)]
fn put_tags<P: Packet>(packet: &mut P, tags: Tags) -> Option<()> {
    let [outer, inner] = tags;
    if outer.get() == 0 {
        return Some(());
    }
    if inner.get() == 0 {
        return packet.push_tag(ETHERTYPE_VLAN, outer);
    }
    packet.push_tag(ETHERTYPE_VLAN, inner)?;
    packet.push_tag(ETHERTYPE_SERVICE_VLAN, outer)
}

/// Gives a socket buffer with at most one tag another one.
#[inline(always)]
pub fn replace_tag<P: Packet>(packet: &mut P, [new, _]: Tags) -> Option<()> {
    let old = packet.tag();
    if old.map_or(0, U16::get) == new.get() && old.is_some() == (new.get() != 0) {
        return Some(());
    }
    if old.is_some() {
        packet.pop_tag()?;
    }
    put_tags(packet, [new, U16::ZERO])
}

impl From<Client> for Egress {
    #[inline(always)]
    fn from(client: Client) -> Self {
        Self {
            ethernet: client.ethernet,
            tags: [client.vlan, UNTAGGED[1]],
            interface: client.index(),
        }
    }
}

impl Egress {
    /// Writes the Ethernet header, for which [`make_room`] made room.
    #[inline(always)]
    pub fn write<P: Packet>(&self, packet: &mut P, ethertype: u16) -> Option<()> {
        if P::BUFFER {
            let header: &mut Ethernet = packet.header_mut(0)?;
            put_addresses(header, self.ethernet);
            header.ethertype = U16::new(ethertype);
            return put_tags(packet, self.tags);
        }
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
        put_addresses(header, self.ethernet);
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

/// Writes both addresses of a header.
#[inline(always)]
pub fn put_addresses(header: &mut Ethernet, addresses: EthernetAddresses) {
    if let Some(place) = header.as_mut_bytes().first_chunk_mut::<12>() {
        *place = zerocopy::transmute!(addresses);
    }
}

#[inline(always)]
fn tag<P: Packet>(packet: &mut P, offset: usize, control: U16, ethertype: u16) -> Option<()> {
    let header: &mut Vlan = packet.header_mut(offset)?;
    header.control = control;
    header.ethertype = U16::new(ethertype);
    Some(())
}
