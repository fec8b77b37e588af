//! Version 1 of the sync messages of the kernel's IPVS (`ip_vs_sync_v4`, `ip_vs_sync_v6`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::entry::{Engine, EntryRead, Sequences, SyncEntry};
use super::flags::Flags;
use crate::discard::Discard;

/// `struct ip_vs_sync_mesg`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// Number of entries in version 0.
    reserved: u8,
    pub(super) syncid: u8,
    pub(super) length: U16,
    pub(super) count: u8,
    version: u8,
    spare: U16,
}

impl Header {
    /// The header of a message of so many bytes.
    pub(super) const fn new(syncid: u8, length: U16, count: u8) -> Self {
        Self {
            reserved: 0,
            syncid,
            length,
            count,
            version: 1,
            spare: U16::ZERO,
        }
    }

    /// The header of a datagram of this version.
    pub(super) fn read(datagram: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = Self::read_from_prefix(datagram).ok()?;
        let ours = header.reserved == 0 && header.version == 1 && header.spare.get() == 0;
        ours.then_some((header, rest))
    }
}

/// Head of `struct ip_vs_sync_v4` and `struct ip_vs_sync_v6`; three addresses follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    kind: u8,
    protocol: u8,
    /// Version in the upper four bits, length with options in the lower twelve.
    length: U16,
    flags: U32,
    state: U16,
    client_port: U16,
    virtual_port: U16,
    server_port: U16,
    mark: U32,
    timeout: U32,
}

/// Client, virtual address, real server.
type Addresses<A> = [A; 3];

const _: () = assert!(size_of::<Header>() == 8 && size_of::<Entry>() == 24);

/// Bit of `kind`.
const INET6: u8 = 1;
/// Entries start at multiples of this.
pub(super) const ALIGNMENT: usize = 4;

/// Option of an entry: [`Sequences`].
const SEQUENCES: u8 = 1;
/// Option of an entry: its name with a persistence engine.
const ENGINE_DATA: u8 = 2;
/// Option of an entry: the engine's name.
const ENGINE_NAME: u8 = 3;
/// Bit of an option's type: it may be skipped by a receiver that does not know it.
const OPTIONAL: u8 = 0x40;

/// Reads the entry at the start of `bytes`.
pub(super) fn entry(bytes: &[u8]) -> EntryRead<'_> {
    let Ok((head, _)) = Entry::ref_from_prefix(bytes) else {
        return (Err(Discard::Truncated), None);
    };
    let (version, length) = (head.length.get() >> 12, head.length.get() & 0xfff);
    if version != 0 {
        return (Err(Discard::EntryVersion), None);
    }
    let Some((whole, _)) = bytes.split_at_checked(length.into()) else {
        return (Err(Discard::Truncated), None);
    };
    if whole.len() < size_of::<Entry>() {
        return (Err(Discard::EntryLength), None);
    }
    // The last entry of a message is not padded.
    let rest = bytes.get(whole.len().next_multiple_of(ALIGNMENT)..);
    (
        body(head, &whole[size_of::<Entry>()..]),
        Some(rest.unwrap_or_default()),
    )
}

/// Reads an entry from the end of its head on.
fn body(head: &Entry, bytes: &[u8]) -> Result<SyncEntry, Discard> {
    let (addresses, options): (Addresses<IpAddr>, _) = if head.kind & INET6 == 0 {
        let (addresses, options) =
            Addresses::<[u8; 4]>::read_from_prefix(bytes).map_err(|_| Discard::EntryLength)?;
        (
            addresses.map(|address| Ipv4Addr::from(address).into()),
            options,
        )
    } else {
        let (addresses, options) =
            Addresses::<[u8; 16]>::read_from_prefix(bytes).map_err(|_| Discard::EntryLength)?;
        (
            addresses.map(|address| Ipv6Addr::from(address).into()),
            options,
        )
    };
    let [client, virtual_address, server] = addresses;
    let Options {
        sequences,
        data,
        name,
    } = Options::read(options)?;
    let engine = match (name, data) {
        (None, None) => None,
        (Some(name), Some(data)) => Some(Engine::new(name, data).ok_or(Discard::Option)?),
        _ => return Err(Discard::Option),
    };
    Ok(SyncEntry {
        protocol: head.protocol,
        flags: Flags::from_wire(head.flags.get()),
        state: head.state.get(),
        client: SocketAddr::new(client, head.client_port.get()),
        virtual_address: SocketAddr::new(virtual_address, head.virtual_port.get()),
        server: SocketAddr::new(server, head.server_port.get()),
        mark: head.mark.get(),
        timeout: head.timeout.get(),
        sequences,
        engine,
    })
}

/// Options, which follow the addresses: type, length and value of each.
#[derive(Default)]
struct Options<'a> {
    sequences: Option<Sequences>,
    data: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, Discard> {
        let mut options = Self::default();
        while let [kind, length, after @ ..] = bytes {
            let (value, rest) = after
                .split_at_checked((*length).into())
                .ok_or(Discard::Option)?;
            let twice = match kind & !OPTIONAL {
                SEQUENCES => {
                    let value = Sequences::read_from_bytes(value).map_err(|_| Discard::Option)?;
                    options.sequences.replace(value).is_some()
                }
                ENGINE_DATA => options.data.replace(value).is_some(),
                ENGINE_NAME => options.name.replace(value).is_some(),
                _ if kind & OPTIONAL != 0 => false,
                _ => return Err(Discard::UnknownOption),
            };
            if twice {
                return Err(Discard::Option);
            }
            bytes = rest;
        }
        // One byte left is half an option.
        bytes.is_empty().then_some(options).ok_or(Discard::Option)
    }
}

/// An entry without padding: at most 400 bytes.
pub(super) fn write(synced: &SyncEntry) -> Vec<u8> {
    let addresses = [synced.client, synced.virtual_address, synced.server];
    // One IPv6 address makes all of them IPv6.
    let inet6 = addresses.iter().any(SocketAddr::is_ipv6);
    let mut bytes = vec![0; size_of::<Entry>()];
    for address in addresses {
        match address.ip() {
            IpAddr::V4(v4) if inet6 => bytes.extend_from_slice(&v4.to_ipv6_mapped().octets()),
            IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
        }
    }
    if let Some(sequences) = &synced.sequences {
        option(&mut bytes, SEQUENCES, sequences.as_bytes());
    }
    if let Some(Engine { name, data }) = &synced.engine {
        option(&mut bytes, ENGINE_DATA, data);
        option(&mut bytes, ENGINE_NAME, name);
    }
    let head = Entry {
        kind: if inet6 { INET6 } else { 0 },
        protocol: synced.protocol,
        length: u16::try_from(bytes.len()).unwrap_or(0xfff).into(),
        flags: u32::from(synced.flags.0).into(),
        state: synced.state.into(),
        client_port: synced.client.port().into(),
        virtual_port: synced.virtual_address.port().into(),
        server_port: synced.server.port().into(),
        mark: synced.mark.into(),
        timeout: synced.timeout.into(),
    };
    if let Some(start) = bytes.get_mut(..size_of::<Entry>()) {
        start.copy_from_slice(head.as_bytes());
    }
    bytes
}

/// Appends an option whose value has at most 255 bytes.
fn option(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    bytes.push(kind);
    bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(value);
}
