//! Reads entries of the own tables as messages carry them.

use std::net::SocketAddr;
use std::sync::Once;

use lvs_common::abi::{self, Call, Config, Method, Server, ServiceKey, WAYS};
use lvs_common::connection::table::{Place, find};
use lvs_common::connection::template::call;
use lvs_common::connection::{Entry, EntryId, Kind, Protocol, Record, Servers as _, Tag, template};
use lvs_common::family::Family;
use lvs_common::forward::sync_events::is_replicated;
use lvs_common::ftp::server_port;
use lvs_dataplane::address::narrow;
use lvs_dataplane::director::ENGINE;
use lvs_dataplane::kernel::{EntryMapping, Maps};
use lvs_dataplane::table::Table;
use tracing::warn;
use zerocopy::byteorder::network_endian::U16;

use super::wire::{Engine, Flags, SyncEntry};
use crate::entries::Entries;

/// Told once that there are connections that messages cannot carry.
static UNTRANSLATABLE: Once = Once::new();

/// An entry that is worth sending.
pub(super) struct Snapshot {
    pub(super) entry: SyncEntry,
    /// The template that a connection of a persistent service belongs to.
    pub(super) template: Option<EntryId>,
    pub(super) tag: Tag,
    /// The tick of its last packet.
    pub(super) seen: u32,
    /// Packets of its client arrived here, not only at another director.
    pub(super) own: bool,
}

/// Reads an entry.
pub(super) fn read(maps: &Maps, config: &Config, id: EntryId, now: u32) -> Option<Snapshot> {
    if id.is_ipv6() {
        read_from(maps, &maps.connections6, config, id, now)
    } else {
        read_from(maps, &maps.connections4, config, id, now)
    }
}

fn read_from<F: Family>(
    maps: &Maps,
    entries: &EntryMapping<F>,
    config: &Config,
    id: EntryId,
    now: u32,
) -> Option<Snapshot> {
    let tag = || Entries::from(maps).tag(id).filter(|tag| tag.is_live());
    let before = tag()?;
    let entry = entries.read(id.index())?;
    // The way may have been given to another connection while it was copied.
    let after = tag().filter(|tag| tag.same_connection(before))?;
    if abi::age(now, entry.seen) > entry.timeout {
        return None;
    }
    let server = maps.servers.read(maps.loads.server_of(&entry.record))?;
    if server.flags & Server::DELETED != 0 || server.family == 0 {
        return None;
    }
    let plan = maps
        .active_plans
        .read(server.service)
        .filter(|&plan| plan != 0)
        .and_then(|plan| maps.plans.read(plan))?;
    let template = template_of(maps, entries, config, id, &entry, &plan.key);
    let call = match call(&entry.key) {
        // What nobody knows the Call-ID of nobody finds there.
        Some(number) => Some(maps.calls.call(number)?),
        None => None,
    };
    Some(Snapshot {
        entry: sync_entry(entries, &entry, call.as_ref(), after, &server, &plan.key)?,
        template: template.map(|number| id.sibling(number)),
        tag: after,
        seen: entry.seen,
        own: entry.packets != 0,
    })
}

fn sync_entry<F: Family>(
    entries: &EntryMapping<F>,
    entry: &Entry<F>,
    call: Option<&Call>,
    tag: Tag,
    server: &Server,
    service: &ServiceKey,
) -> Option<SyncEntry> {
    let key = &entry.key;
    let method = Method::from_raw(entry.record.method);
    let state = tag.state();
    let flags = match Kind::from_raw(key.kind) {
        Kind::Reply => return None,
        Kind::Template => Flags::of(method).and(Flags::TEMPLATE),
        Kind::Request => {
            let protocol = Protocol::from_number(key.protocol)?;
            if !is_replicated(protocol, state) {
                return None;
            }
            if protocol.active(state) {
                Flags::of(method)
            } else {
                Flags::of(method).and(Flags::INACTIVE)
            }
        }
    };
    if !keeps_source(entries, entry) {
        // Messages have no field for the source that the server sees: the receiver would send from another one.
        UNTRANSLATABLE.call_once(|| {
            warn!(
                "connections whose source is translated (full NAT) are not sent by IPVS's protocol, which has no \
                 field for it: sessions between directors (--peer) replicate them"
            );
        });
        return None;
    }
    let [a, b, c, d, ..] = service.address;
    let mark = match service.protocol {
        ServiceKey::MARK => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    };
    let address = |address: F::Address, port: U16| {
        SocketAddr::new(narrow(&F::widen(address), F::NUMBER), port.get())
    };
    let port = server_port(service, server.port, key.ports.destination);
    let server = SocketAddr::new(narrow(&server.address, server.family), port.get());
    let client = match call {
        Some(call) => address(F::narrow(&call.client), U16::ZERO),
        None => address(key.source, key.ports.source),
    };
    // Messages have no room for a server of the other family (through a tunnel), and IPVS does not
    // synchronize such either.
    (server.is_ipv4() == client.is_ipv4()).then_some(SyncEntry {
        protocol: key.protocol,
        flags,
        state: state.into(),
        client,
        virtual_address: address(key.destination, key.ports.destination),
        server,
        mark,
        timeout: abi::seconds(entry.timeout),
        sequences: None,
        engine: call.and_then(|call| Engine::new(ENGINE.as_bytes(), call.id()?)),
    })
}

/// Returns whether the server of a connection sees its client's own address and port. Of a data connection of FTP the
/// entry of its replies says so.
fn keeps_source<F: Family>(entries: &EntryMapping<F>, entry: &Entry<F>) -> bool {
    let key = &entry.key;
    if key.kind != Kind::Request as u8 || !entry.record.is_translated() {
        return true;
    }
    let reply = entry.partner.checked_sub(1);
    let reply = reply.and_then(|reply| entries.read_live(reply));
    reply.is_some_and(|(_, Entry { key: reply, .. })| {
        (reply.destination, reply.ports.destination) == (key.source, key.ports.source)
    })
}

/// The number (plus one) of the template that a connection of a persistent service belongs to.
fn template_of<F: Family>(
    maps: &Maps,
    entries: &EntryMapping<F>,
    config: &Config,
    id: EntryId,
    connection: &Entry<F>,
    service: &ServiceKey,
) -> Option<u32> {
    let persistence = connection.record.persistence;
    if persistence == 0 || Kind::from_raw(connection.key.kind) != Kind::Request {
        return None;
    }
    let key = if persistence == Record::BY_CALL_ID {
        template::call_template(maps.calls.of_connection(id)?, service)
    } else {
        template::template::<F>(connection.key.source, service, persistence - 1)
    };
    let place = Place::of(key.hash(&config.secrets), entries.len() / WAYS);
    find(Table::new(entries, &maps.loads), &key, place).map(|slot| slot.number)
}
