//! Next hops of clients of NAT connections that another director replicated.
//!
//! Replies go where a client was last heard. A connection that came from another director has a client that
//! was never heard here, and that may be waiting for the very reply: so its next hop is asked for, as a real
//! server's is, and kept in the entry until the client speaks.

use std::collections::{BTreeSet, HashMap};
use std::mem::offset_of;
use std::net::IpAddr;

use lvs_common::connection::{Client, Entry, Kind};
use lvs_common::family::{V4, V6};
use lvs_common::network::Network;

use crate::address::narrow;
use crate::kernel::{EntryMapping, Maps};
use crate::neighbour::{Change, NextHop, Resolution};

/// Connections of a table whose clients are looked for at once; the others are after them.
pub const MAX_WAITING: usize = 65_536;

/// Connections whose clients were not heard yet, by their numbers in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientsWithoutNextHop {
    /// Ways of the IPv4 table.
    pub v4: Vec<u32>,
    /// Ways of the IPv6 table.
    pub v6: Vec<u32>,
}

/// True of a live connection that has replies but no client to send them to.
pub fn lacks_next_hop<F: Network>(table: &EntryMapping<F>, way: u32) -> bool {
    table.client_interface(way) == 0 && table.partner(way).is_some()
}

/// Resolves the clients' next hops, and writes them into the entries.
#[derive(Debug, Default)]
pub struct ClientNextHops {
    waiting4: HashMap<IpAddr, Vec<u32>>,
    waiting6: HashMap<IpAddr, Vec<u32>>,
    /// Next hops of those that are asked for.
    resolved: HashMap<IpAddr, NextHop>,
}

impl ClientNextHops {
    /// Replaces the connections by those of the last sweep. Returns whose next hops have to be followed.
    pub fn follow(&mut self, maps: &Maps, clients: &ClientsWithoutNextHop) -> BTreeSet<IpAddr> {
        self.waiting4 = by_client::<V4>(&maps.connections4, &clients.v4);
        self.waiting6 = by_client::<V6>(&maps.connections6, &clients.v6);
        let wanted: BTreeSet<_> = self
            .waiting4
            .keys()
            .chain(self.waiting6.keys())
            .copied()
            .collect();
        self.resolved.retain(|address, _| wanted.contains(address));
        for (address, hop) in &self.resolved {
            self.write(maps, *address, hop);
        }
        wanted
    }

    /// Applies a change that the resolver found.
    pub fn resolve(&mut self, maps: &Maps, change: Change) {
        let Resolution::Resolved(hop) = change.resolution else {
            self.resolved.remove(&change.address);
            return;
        };
        self.write(maps, change.address, &hop);
        self.resolved.insert(change.address, hop);
    }

    fn write(&self, maps: &Maps, address: IpAddr, hop: &NextHop) {
        let client = Client {
            vlan: [hop.vlan.into(), 0.into()],
            mac: hop.destination,
            director: hop.source,
            interface: hop.interface,
        };
        for &way in self.waiting4.get(&address).into_iter().flatten() {
            write(&maps.connections4, way, address, client);
        }
        for &way in self.waiting6.get(&address).into_iter().flatten() {
            write(&maps.connections6, way, address, client);
        }
    }
}

/// The connections by their clients.
fn by_client<F: Network>(table: &EntryMapping<F>, ways: &[u32]) -> HashMap<IpAddr, Vec<u32>> {
    let mut clients: HashMap<_, Vec<_>> = HashMap::new();
    for &way in ways {
        if let Some(client) = client(table, way) {
            clients.entry(client).or_default().push(way);
        }
    }
    clients
}

/// The client of a connection that still has no next hop.
fn client<F: Network>(table: &EntryMapping<F>, way: u32) -> Option<IpAddr> {
    let (_, Entry { key, .. }) = table.read_live(way)?;
    let waiting = key.kind == Kind::Request as u8 && lacks_next_hop(table, way);
    waiting.then(|| narrow(&F::widen(key.source), F::NUMBER))
}

/// Writes a client into its connection. Whoever hears the client meanwhile writes the same words; it may win
/// any of them, and the client's next packet sets them all right.
fn write<F: Network>(table: &EntryMapping<F>, way: u32, address: IpAddr, client: Client) {
    if self::client(table, way) != Some(address) {
        return;
    }
    let Some(mut entry) = table.read(way) else {
        return;
    };
    entry.client = client;
    // The interface last: without it the rest is not used.
    let start = offset_of!(Entry<F>, client);
    let interface = start + offset_of!(Client, interface);
    table.write_words(way, &entry, start..interface);
    table.write_words(way, &entry, interface..interface + 4);
}

#[cfg(test)]
mod tests {
    use lvs_common::connection::Tag;

    use super::*;

    const CLIENT: Client = Client {
        vlan: [
            lvs_common::ethernet::UNTAGGED[0],
            lvs_common::ethernet::UNTAGGED[1],
        ],
        mac: [2, 0, 0, 0, 0, 9],
        director: [2, 0, 0, 0, 0, 1],
        interface: 7,
    };

    fn put(table: &EntryMapping<V4>, way: u32, kind: Kind, partner: u32, interface: u32) {
        let mut entry = table.read(way).unwrap();
        entry.tag = Tag::default().claimed(0xabcd_0000).live(1, false).0;
        entry.key.kind = kind as u8;
        entry.key.source = [192, 0, 2, 7];
        entry.partner = partner;
        entry.client.interface = interface;
        table.write(way, entry);
    }

    #[test]
    fn a_next_hop_is_written_only_where_it_is_missing() {
        let table = EntryMapping::<V4>::zeroed(8);
        put(&table, 0, Kind::Request, 2, 0);
        put(&table, 1, Kind::Reply, 1, 0);
        put(&table, 2, Kind::Request, 0, 0);
        put(&table, 3, Kind::Request, 5, 3);
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let found = by_client::<V4>(&table, &[0, 1, 2, 3, 4, 100]);
        assert_eq!(found, HashMap::from([(address, vec![0])]));

        write(&table, 0, "192.0.2.8".parse().unwrap(), CLIENT);
        assert_eq!(table.read(0).unwrap().client.interface, 0, "another's");
        for way in 0..4 {
            write(&table, way, address, CLIENT);
        }
        assert_eq!(table.read(0).unwrap().client, CLIENT);
        let interfaces = [1, 2, 3].map(|way| table.read(way).unwrap().client.interface);
        assert_eq!(interfaces, [0, 0, 3]);
        assert_eq!(table.read(0).unwrap().partner, 2, "and nothing else");
    }
}
