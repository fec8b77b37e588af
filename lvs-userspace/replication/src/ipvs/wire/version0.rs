//! Version 0 of the sync messages: IPv4 only, without timeouts. Kernels before 2.6.39 know no other, and those set to it
//! (`sync_version`) send it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, native_endian};

use super::entry::{EntryRead, SyncEntry};
use super::flags::Flags;
use crate::discard::Discard;

/// `struct ip_vs_sync_mesg_v0`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) count: u8,
    pub(super) syncid: u8,
    pub(super) length: U16,
}

/// `struct ip_vs_sync_conn_v0`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    reserved: u8,
    protocol: u8,
    client_port: U16,
    virtual_port: U16,
    server_port: U16,
    client: [u8; 4],
    virtual_address: [u8; 4],
    server: [u8; 4],
    flags: U16,
    state: U16,
}

const _: () = assert!(size_of::<Header>() == 4 && size_of::<Entry>() == 24);

/// Reads the entry at the start of `bytes`.
pub(super) fn entry(bytes: &[u8]) -> EntryRead<'_> {
    let Ok((entry, mut rest)) = Entry::read_from_prefix(bytes) else {
        return (Err(Discard::Truncated), None);
    };
    let flags = Flags::from_wire(entry.flags.get().into());
    let mut sequences = None;
    if flags.has(Flags::SEQUENCES) {
        // In the sender's byte order, which is not sent: assumed to be ours.
        let Ok((words, after)) = <[native_endian::U32; 6]>::read_from_prefix(rest) else {
            return (Err(Discard::Truncated), None);
        };
        sequences = Some(zerocopy::transmute!(words.map(|word| U32::new(word.get()))));
        rest = after;
    }
    let at =
        |address: [u8; 4], port: U16| SocketAddr::new(Ipv4Addr::from(address).into(), port.get());
    let synced = SyncEntry {
        protocol: entry.protocol,
        flags,
        state: entry.state.get(),
        client: at(entry.client, entry.client_port),
        virtual_address: at(entry.virtual_address, entry.virtual_port),
        server: at(entry.server, entry.server_port),
        mark: 0,
        timeout: 0,
        sequences,
        engine: None,
    };
    (Ok(synced), Some(rest))
}

/// An entry. `None`: this version has no place for it: addresses of IPv6, and what is known by a mark or by the data
/// of a persistence engine.
pub(super) fn write(synced: &SyncEntry) -> Option<Vec<u8>> {
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    let place = |address: SocketAddrV4| (address.ip().octets(), U16::new(address.port()));
    let (client, client_port) = place(v4(synced.client)?);
    let (virtual_address, virtual_port) = place(v4(synced.virtual_address)?);
    let (server, server_port) = place(v4(synced.server)?);
    let template = synced.flags.has(Flags::TEMPLATE);
    if template && (synced.mark != 0 || synced.engine.is_some()) {
        return None;
    }
    let entry = Entry {
        reserved: 0,
        protocol: synced.protocol,
        client_port,
        virtual_port,
        server_port,
        client,
        virtual_address,
        server,
        flags: synced.flags.0.into(),
        state: synced.state.into(),
    };
    let mut bytes = entry.as_bytes().to_vec();
    if synced.flags.has(Flags::SEQUENCES) {
        let words: [U32; 6] = zerocopy::transmute!(synced.sequences?);
        for word in words {
            bytes.extend_from_slice(&word.get().to_ne_bytes());
        }
    }
    Some(bytes)
}
