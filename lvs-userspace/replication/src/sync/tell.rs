//! Connections of the own table as messages tell them.

use std::net::SocketAddr;

use lvs_common::abi::{self, Config, Method, Server, ServiceKey, WAYS};
use lvs_common::connection::table::{Place, find};
use lvs_common::connection::{Entry, Kind, Protocol, Tag};
use lvs_common::family::Family;
use lvs_common::forward::announce::worth_telling;
use lvs_common::persistence;
use zerocopy::byteorder::network_endian::U16;

use super::wire::{Flags, Synced};
use lvs_dataplane::address::narrow;
use lvs_dataplane::kernel::{Entries, Maps};
use lvs_dataplane::table::Table;

/// What a way holds that is worth telling, and the number (plus one) of the template it belongs to.
pub(super) struct Told {
    pub(super) synced: Synced,
    pub(super) template: Option<u32>,
    pub(super) tag: Tag,
    /// The tick of its last packet.
    pub(super) seen: u32,
    /// Its client was heard here, not only by another director.
    pub(super) heard: bool,
}

/// Reads a way of a table.
pub(super) fn tell<F: Family>(
    maps: &Maps,
    entries: &Entries<F>,
    config: &Config,
    way: u32,
    now: u32,
) -> Option<Told> {
    let before = entries.tag(way).filter(|tag| tag.is_live())?;
    let entry = entries.read(way)?;
    // The way may have been given to another connection while it was copied.
    let after = entries
        .tag(way)
        .filter(|tag| tag.is_live() && tag.same_connection(before))?;
    if abi::age(now, entry.seen) > entry.timeout {
        return None;
    }
    let server = maps.servers.read(entry.record.server.into())?;
    if server.flags & Server::DELETED != 0 || server.family == 0 {
        return None;
    }
    let plan = maps
        .heads
        .read(entry.record.service.into())
        .filter(|&plan| plan != 0)
        .and_then(|plan| maps.plans.read(plan))?;
    let synced = synced(&entry, after, &server, &plan.key)?;
    let template = template(maps, entries, config, &entry, &plan.key);
    Some(Told {
        synced,
        template,
        tag: after,
        seen: entry.seen,
        heard: entry.packets != 0,
    })
}

fn synced<F: Family>(
    entry: &Entry<F>,
    tag: Tag,
    server: &Server,
    service: &ServiceKey,
) -> Option<Synced> {
    let key = &entry.key;
    let method = Method::from_raw(entry.record.method);
    let state = tag.state();
    let flags = match Kind::from_raw(key.kind) {
        Kind::Reply => return None,
        Kind::Template => Flags::of(method).and(Flags::TEMPLATE),
        Kind::Request => {
            let protocol = Protocol::from_number(key.protocol)?;
            if !worth_telling(protocol, state) {
                return None;
            }
            if protocol.active(state) {
                Flags::of(method)
            } else {
                Flags::of(method).and(Flags::INACTIVE)
            }
        }
    };
    let [a, b, c, d, ..] = service.address;
    let mark = match service.protocol {
        ServiceKey::MARK => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    };
    let address = |address: F::Address, port: U16| {
        SocketAddr::new(narrow(&F::widen(address), F::NUMBER), port.get())
    };
    let port = match server.port.get() {
        0 => key.ports.destination,
        _ => server.port,
    };
    let server = SocketAddr::new(narrow(&server.address, server.family), port.get());
    let client = address(key.source, key.ports.source);
    // Messages have no room for a server of the other family (through a tunnel), and IPVS does not
    // synchronize such either.
    (server.is_ipv4() == client.is_ipv4()).then_some(Synced {
        protocol: key.protocol,
        flags,
        state: state.into(),
        client,
        virtual_address: address(key.destination, key.ports.destination),
        server,
        mark,
        timeout: abi::seconds(entry.timeout),
        sequences: None,
        engine: None,
    })
}

/// The number (plus one) of the template that a connection of a persistent service belongs to.
fn template<F: Family>(
    maps: &Maps,
    entries: &Entries<F>,
    config: &Config,
    connection: &Entry<F>,
    service: &ServiceKey,
) -> Option<u32> {
    let prefix = connection.record.persistence.checked_sub(1)?;
    if Kind::from_raw(connection.key.kind) != Kind::Request {
        return None;
    }
    let key = persistence::template::<F>(connection.key.source, service, prefix);
    let place = Place::of(F::hash(&key, &config.secrets), entries.len() / WAYS);
    find(Table::new(entries, &maps.loads), &key, place).map(|slot| slot.number)
}
