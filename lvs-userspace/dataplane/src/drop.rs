//! Ends connections at the operator's request.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use lvs_api::connections::{DropConnections, Dropped, Prefix, StateName};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_common::abi::{age, ticks};
use lvs_common::connection::table::{by_number, remove};
use lvs_common::connection::{Entry, Kind, Protocol, Servers as _, Tag};
use lvs_common::family::{Family, V4, V6};

use crate::address::narrow;
use crate::clock::now;
use crate::director::service_index;
use crate::kernel::{EntryMapping, Maps};
use crate::table::Table;

/// Attempts at a connection whose packets change its state meanwhile.
const ATTEMPTS: u32 = 8;

/// The connections that are meant, as indexes of the maps.
struct Selection {
    /// Service index.
    service: Option<u32>,
    client: Option<Prefix>,
    /// Server indexes, those of deleted servers included.
    servers: Option<HashSet<u32>>,
    state: Option<StateName>,
    /// Ticks without a packet.
    idle: u32,
    templates: bool,
    now: u32,
}

/// Ends the connections that a request names, or counts them.
///
/// # Errors
///
/// Refuses a request that names nothing, and a service or server that does not exist.
pub fn drop_connections(maps: &Maps, request: &DropConnections) -> Result<Dropped, Refusal> {
    let invalid = |message: &str| Refusal::new(RefusalKind::Invalid, message);
    if !request.is_limited() && !request.all {
        return Err(invalid(
            "that would end every connection: name a service, client, server, state or idle time, or say all",
        ));
    }
    if request.is_limited() && request.all {
        return Err(invalid("all connections, or those of a filter: not both"));
    }
    let service = match &request.service {
        None => None,
        Some(id) => Some(service_index(maps, id).ok_or_else(|| {
            Refusal::new(
                RefusalKind::NoSuchService,
                "there is no such virtual service",
            )
        })?),
    };
    let servers = request.server.map(|server| server_indexes(maps, server));
    if servers.as_ref().is_some_and(HashSet::is_empty) {
        return Err(Refusal::new(
            RefusalKind::NoSuchServer,
            "no service has or had such a real server",
        ));
    }
    let idle = u32::try_from(request.idle_ms.unwrap_or(0) / 1_000).unwrap_or(u32::MAX);
    let part = request.idle_ms.unwrap_or(0) % 1_000;
    let selection = Selection {
        service,
        client: request.client,
        servers,
        state: request.state,
        idle: ticks(idle).saturating_add(u32::try_from(part).unwrap_or(0)),
        templates: request.templates,
        now: now(),
    };
    let mut dropped = Dropped::default();
    selection.drop_from::<V4>(maps, &maps.connections4, request.dry_run, &mut dropped);
    selection.drop_from::<V6>(maps, &maps.connections6, request.dry_run, &mut dropped);
    Ok(dropped)
}

/// Indexes of the real servers with this address, and port unless it is 0.
fn server_indexes(maps: &Maps, wanted: SocketAddr) -> HashSet<u32> {
    let matches = |index: &u32| {
        maps.servers.read(*index).is_some_and(|server| {
            matches!(server.family, 4 | 6)
                && narrow(&server.address, server.family) == wanted.ip()
                && (wanted.port() == 0 || server.port.get() == wanted.port())
        })
    };
    (0..maps.servers.len()).filter(matches).collect()
}

impl Selection {
    fn drop_from<F: Family>(
        &self,
        maps: &Maps,
        entries: &EntryMapping<F>,
        dry_run: bool,
        dropped: &mut Dropped,
    ) {
        for way in 0..entries.len() {
            let mut attempt = 0;
            while attempt < ATTEMPTS
                && let Some((tag, entry)) = entries.read_live(way)
                && self.has(maps, entries, way, tag, &entry)
            {
                if dry_run || end(maps, entries, way, tag) {
                    if Kind::from_raw(entry.key.kind) == Kind::Template {
                        dropped.templates += 1;
                    } else {
                        dropped.connections += 1;
                    }
                    break;
                }
                attempt += 1;
            }
        }
    }

    /// Returns whether an entry is meant. That of a NAT connection's replies goes with the connection.
    fn has<F: Family>(
        &self,
        maps: &Maps,
        entries: &EntryMapping<F>,
        way: u32,
        tag: Tag,
        entry: &Entry<F>,
    ) -> bool {
        let kind = Kind::from_raw(entry.key.kind);
        let wanted_kind = match kind {
            Kind::Request => true,
            Kind::Template => self.templates,
            Kind::Reply => false,
        };
        let idle = age(self.now, entry.seen);
        // What is expired is no connection any more.
        wanted_kind
            && (idle <= entry.timeout || kind == Kind::Template)
            && idle >= self.idle
            && self
                .service
                .is_none_or(|service| service == maps.loads.service_of(&entry.record))
            && self
                .servers
                .as_ref()
                .is_none_or(|servers| servers.contains(&maps.loads.server_of(&entry.record)))
            && self
                .client
                .is_none_or(|prefix| prefix.contains(client::<F>(entry)))
            && self
                .state
                .is_none_or(|state| has_state(entries, way, tag, entry, state))
    }
}

fn client<F: Family>(entry: &Entry<F>) -> IpAddr {
    narrow(&F::widen(entry.key.source), F::NUMBER)
}

fn has_state<F: Family>(
    entries: &EntryMapping<F>,
    way: u32,
    tag: Tag,
    entry: &Entry<F>,
    wanted: StateName,
) -> bool {
    match wanted {
        StateName::HalfOpen => tag.is_half_open(),
        StateName::Unproven => !entries.is_proven(way),
        StateName::Of(protocol, state) => {
            let kind = Kind::from_raw(entry.key.kind);
            let same = Protocol::from(protocol).number() == entry.key.protocol;
            same && kind == Kind::Request && state == tag.state()
        }
    }
}

/// Removes an entry that still has this tag, its partner included. False: a packet changed it.
fn end<F: Family>(maps: &Maps, entries: &EntryMapping<F>, way: u32, tag: Tag) -> bool {
    let table = Table::new(entries, &maps.loads);
    let slot = by_number::<F, _>(table, way + 1).filter(|slot| slot.tag == tag);
    slot.is_some_and(|slot| remove::<F, _>(table, &slot))
}
