//! The connection tables, read as memory.

use std::net::SocketAddr;

use lvs_common::abi;
use lvs_common::connection::{Entry, Kind, Protocol, Tag};
use lvs_common::family::Family;

use crate::address::narrow;
use crate::clock::now;
use crate::kernel::{Mapping, Maps, Plain};
use lvs_api::protocol::Connection;

/// Entries in use, as the last sweep met them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupation {
    /// Of the IPv4 table.
    pub entries4: u64,
    /// Of the IPv6 table.
    pub entries6: u64,
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
    table: &Mapping<Entry<F>>,
    emit: &mut impl FnMut(Vec<u8>) -> bool,
) -> bool
where
    Entry<F>: Plain,
{
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
    table: &Mapping<Entry<F>>,
    way: u32,
    now: u32,
) -> Option<Connection>
where
    Entry<F>: Plain,
{
    let tag = tag(table, way)?;
    if !tag.is_live() {
        return None;
    }
    let entry = table.read(way)?;
    // The way may have been given to another connection while it was copied.
    if !self::tag(table, way).is_some_and(|after| after.is_live() && after.same_connection(tag)) {
        return None;
    }
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

/// The tag of a way, as it is now.
pub fn tag<F: Family>(table: &Mapping<Entry<F>>, way: u32) -> Option<Tag>
where
    Entry<F>: Plain,
{
    let word = table.word(way, std::mem::offset_of!(Entry<F>, tag))?;
    Some(Tag(word.load(std::sync::atomic::Ordering::Acquire)))
}

fn address<F: Family>(address: F::Address, port: u16) -> SocketAddr {
    SocketAddr::new(narrow(&F::widen(address), F::NUMBER), port)
}
