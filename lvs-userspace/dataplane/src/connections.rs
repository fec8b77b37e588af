//! The connection tables, read as memory.

use std::net::SocketAddr;

use lvs_api::protocol::Connection;
use lvs_common::abi;
use lvs_common::connection::{Kind, Protocol};
use lvs_common::family::Family;

use crate::address::narrow;
use crate::clock::now;
use crate::kernel::{EntryMapping, Maps};

/// Entries in use at the last sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupation {
    /// Entries of the IPv4 table.
    pub entries4: u64,
    /// Entries of the IPv6 table.
    pub entries6: u64,
    /// The services that hold more than their share of them.
    pub crowds: [Option<u32>; 2],
}

/// Entries that are looked at before what was found is handed on.
const CHUNK: u32 = 8_192;

/// Lists all connections as JSON, one a line, in pieces; ends early when `emit` says false.
pub fn list(maps: &Maps, mut emit: impl FnMut(Vec<u8>) -> bool) {
    let _ = list_table(maps, &maps.connections4, &mut emit)
        && list_table(maps, &maps.connections6, &mut emit);
}

fn list_table<F: Family>(
    maps: &Maps,
    table: &EntryMapping<F>,
    emit: &mut impl FnMut(Vec<u8>) -> bool,
) -> bool {
    let now = now();
    let mut from = 0;
    while from < table.len() {
        let to = from.saturating_add(CHUNK).min(table.len());
        let mut lines = Vec::new();
        for connection in (from..to).filter_map(|way| connection(maps, table, way, now)) {
            if serde_json::to_writer(&mut lines, &connection).is_ok() {
                lines.push(b'\n');
            }
        }
        if !lines.is_empty() && !emit(lines) {
            return false;
        }
        from = to;
    }
    true
}

/// The connection that lives in a way and is not expired.
fn connection<F: Family>(
    maps: &Maps,
    table: &EntryMapping<F>,
    way: u32,
    now: u32,
) -> Option<Connection> {
    let (tag, entry) = table.read_live(way)?;
    let kind = Kind::from_raw(entry.key.kind);
    if kind == Kind::Reply {
        return None;
    }
    let template = kind == Kind::Template;
    let left = match entry.timeout.checked_sub(abi::age(now, entry.seen)) {
        // Connections that need it are still being looked for.
        None if template => 0,
        left => left?,
    };
    let protocol = Protocol::from_number(entry.key.protocol);
    let client = address::<F>(entry.key.source, entry.key.ports.source.get());
    let virtual_address = address::<F>(entry.key.destination, entry.key.ports.destination.get());
    let server = maps.servers.read(u32::from(entry.record.server))?;
    let port = match server.port.get() {
        0 => virtual_address.port(),
        port => port,
    };
    let state = match protocol {
        _ if template && tag.state() != 0 => "ASSURED",
        Some(protocol) if !template => protocol.state_name(tag.state()),
        _ => "NONE",
    };
    Some(Connection {
        protocol: protocol.map(Into::into),
        expires: abi::seconds(left),
        state: state.to_owned(),
        client,
        virtual_address,
        server: SocketAddr::new(narrow(&server.address, server.family), port),
        template,
    })
}

fn address<F: Family>(address: F::Address, port: u16) -> SocketAddr {
    SocketAddr::new(narrow(&F::widen(address), F::NUMBER), port)
}
