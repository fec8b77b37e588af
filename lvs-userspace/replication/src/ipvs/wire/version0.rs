//! Version 0 of the sync messages: IPv4 only, without timeouts. Kernels before 2.6.39 and those set to send it do.

use std::net::{Ipv4Addr, SocketAddr};

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, native_endian};

use super::entry::{EntryRead, SyncEntry};
use super::flags::Flags;
use crate::discard::Discard;

/// `struct ip_vs_sync_mesg_v0`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) count: u8,
    pub(super) syncid: u8,
    pub(super) length: U16,
}

/// `struct ip_vs_sync_conn_v0`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
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
