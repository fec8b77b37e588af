//! The connection tables, read as memory.

use std::net::SocketAddr;

use lvs_api::protocol::{Connection, EngineData};
use lvs_common::abi;
use lvs_common::connection::{Kind, Protocol, Servers as _, template};
use lvs_common::family::Family;

use crate::address::narrow;
use crate::clock::now;
use crate::director::ENGINE;
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

/// A listing of all connections as JSON, one a line, in pieces: nobody holds a thread while a reader of it stalls.
#[derive(Debug, Default)]
pub struct Listing {
    /// Entries of the IPv4 table, then of the IPv6 table, that were looked at.
    looked_at: u64,
}

impl Listing {
    /// The next piece; none after the last.
    pub fn next(&mut self, maps: &Maps) -> Option<Vec<u8>> {
        let first = u64::from(maps.connections4.len());
        let all = first + u64::from(maps.connections6.len());
        let mut lines = Vec::new();
        while lines.is_empty() && self.looked_at < all {
            let looked_at = if self.looked_at < first {
                list(maps, &maps.connections4, self.looked_at, &mut lines)
            } else {
                first + list(maps, &maps.connections6, self.looked_at - first, &mut lines)
            };
            self.looked_at = looked_at;
        }
        (!lines.is_empty()).then_some(lines)
    }
}

/// Lists some connections of a table from this entry on; the entry to go on from.
fn list<F: Family>(maps: &Maps, table: &EntryMapping<F>, from: u64, lines: &mut Vec<u8>) -> u64 {
    let now = now();
    let from = u32::try_from(from).unwrap_or(u32::MAX);
    let to = from.saturating_add(CHUNK).min(table.len());
    for connection in (from..to).filter_map(|way| connection(maps, table, way, now)) {
        if serde_json::to_writer(&mut *lines, &connection).is_ok() {
            lines.push(b'\n');
        }
    }
    u64::from(to)
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
    let call = template::call(&entry.key).map(|number| maps.calls.call(number));
    let client = match &call {
        None => address::<F>(entry.key.source, entry.key.ports.source.get()),
        // Whose client is forgotten has none.
        Some(call) => {
            let client = call.map_or([0; 16], |call| call.client);
            SocketAddr::new(narrow(&client, F::NUMBER), 0)
        }
    };
    let virtual_address = address::<F>(entry.key.destination, entry.key.ports.destination.get());
    let server = maps.servers.read(maps.loads.server_of(&entry.record))?;
    let port = maps.server_port(&server, virtual_address.port());
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
        engine: call.map(|call| EngineData {
            name: ENGINE.to_owned(),
            data: call
                .and_then(|call| Some(String::from_utf8_lossy(call.id()?).into_owned()))
                .unwrap_or_default(),
        }),
        replicated: entry.packets == 0,
    })
}

fn address<F: Family>(address: F::Address, port: u16) -> SocketAddr {
    SocketAddr::new(narrow(&F::widen(address), F::NUMBER), port)
}
