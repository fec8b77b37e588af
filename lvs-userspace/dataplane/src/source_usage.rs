//! Usage of source addresses and ports towards real servers, counted when they run out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lvs_common::connection::Kind;
use lvs_common::family::Family;

use crate::address::narrow;
use crate::kernel::{EntryMapping, Maps};

/// Connections from one source address to one real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceUsage {
    /// The real server.
    pub server: SocketAddr,
    /// The source address.
    pub source: IpAddr,
    /// Source ports in use.
    pub ports: u32,
}

/// The real server and source address with the most connections. Reads the whole tables.
pub fn busiest(maps: &Maps) -> Option<SourceUsage> {
    let mut ports = HashMap::new();
    count(&maps.connections4, &mut ports);
    count(&maps.connections6, &mut ports);
    let busiest = ports.into_iter().max_by_key(|(_, ports)| *ports);
    busiest.map(|((server, source), ports)| SourceUsage {
        server,
        source,
        ports,
    })
}

fn count<F: Family>(table: &EntryMapping<F>, ports: &mut HashMap<(SocketAddr, IpAddr), u32>) {
    for way in 0..table.len() {
        let Some((_, reply)) = table.read_live(way) else {
            continue;
        };
        if reply.key.kind != Kind::Reply as u8 {
            continue;
        }
        let address = |address| narrow(&F::widen(address), F::NUMBER);
        let server = SocketAddr::new(address(reply.key.source), reply.key.ports.source.get());
        *ports
            .entry((server, address(reply.key.destination)))
            .or_default() += 1;
    }
}
