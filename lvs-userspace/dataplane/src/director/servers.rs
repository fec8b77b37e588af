//! The real servers by index, and their records in the map.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_common::abi::{MAX_SOURCE_POOLS, Server};
use zerocopy::FromZeros as _;

use super::trash::Trash;
use crate::address::{family, narrow, widen};
use crate::kernel::Maps;
use crate::tunnel;
use lvs_api::model::{OnDown, Tunnel};

/// A server index in use.
struct RealServer {
    service: u32,
    address: SocketAddr,
    /// Its connections are not to wait for it: `DOWN`, and perhaps `RESET`, of [`Server::flags`].
    down: u8,
    /// It is quiesced: `NO_TEMPLATES` of [`Server::flags`], as the settings have it.
    quiesced: u8,
    /// The encapsulation of its tunnel: `Encapsulation::BITS` of [`Server::flags`].
    encapsulation: u8,
    /// Lower and upper threshold; they outlast the deletion.
    thresholds: (u32, u32),
}

/// All servers, deleted ones with connections included.
pub(super) struct Servers {
    maps: Arc<Maps>,
    by_index: BTreeMap<u32, RealServer>,
    by_address: HashMap<(u32, SocketAddr), u32>,
    /// The servers of each service.
    of_service: BTreeSet<(u32, u32)>,
    /// The servers at each host.
    of_host: BTreeSet<(IpAddr, u32)>,
    trash: Trash,
}

impl Servers {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            by_index: BTreeMap::new(),
            by_address: HashMap::new(),
            of_service: BTreeSet::new(),
            of_host: BTreeSet::new(),
            trash: Trash::default(),
        }
    }

    /// Takes over a record from the map; `None` if the index is free. Returns the server's address and the
    /// number of its hop.
    pub(super) fn adopt(&mut self, index: u32) -> Option<(IpAddr, u32)> {
        let record = self.maps.servers.read(index)?;
        if !matches!(record.family, 4 | 6) {
            return None;
        }
        let address = SocketAddr::new(narrow(&record.address, record.family), record.port.get());
        let server = RealServer {
            service: record.service,
            address,
            down: record.flags & (Server::DOWN | Server::RESET),
            quiesced: record.flags & Server::NO_TEMPLATES,
            encapsulation: record.encapsulation().to_bits(),
            thresholds: (0, 0),
        };
        self.index(index, server);
        Some((address.ip(), record.hop))
    }

    /// Enters a server under a free index. Packets are not sent to it before [`Servers::undelete`].
    pub(super) fn insert(&mut self, index: u32, service: u32, address: SocketAddr, hop: u32) {
        let ip = address.ip();
        let record = Server {
            address: widen(ip),
            port: address.port().into(),
            family: family(&ip),
            flags: Server::DELETED,
            service,
            hop,
            source_pool: 0,
            tunnel_port: 0.into(),
        };
        self.maps.servers.write(index, record);
        let server = RealServer {
            service,
            address,
            down: 0,
            quiesced: 0,
            encapsulation: 0,
            thresholds: (0, 0),
        };
        self.index(index, server);
    }

    fn index(&mut self, index: u32, server: RealServer) {
        self.of_service.insert((server.service, index));
        self.of_host.insert((server.address.ip(), index));
        self.by_address
            .insert((server.service, server.address), index);
        self.by_index.insert(index, server);
    }

    /// Clears the record of a server that no packet can refer to; false if there is none.
    pub(super) fn remove(&mut self, index: u32) -> bool {
        let Some(server) = self.by_index.remove(&index) else {
            return false;
        };
        self.trash.remove(index);
        self.by_address.remove(&(server.service, server.address));
        self.of_service.remove(&(server.service, index));
        self.of_host.remove(&(server.address.ip(), index));
        self.maps.servers.write(index, Server::new_zeroed());
        true
    }

    /// Index of a service's server, deleted or not.
    pub(super) fn find(&self, service: u32, address: SocketAddr) -> Option<u32> {
        self.by_address.get(&(service, address)).copied()
    }

    /// Service index and address of a server.
    pub(super) fn get(&self, index: u32) -> Option<(u32, SocketAddr)> {
        let server = self.by_index.get(&index)?;
        Some((server.service, server.address))
    }

    pub(super) fn is_deleted(&self, index: u32) -> bool {
        self.trash.contains(index)
    }

    /// Addresses of the hosts of all configured servers, in order, each once.
    pub(super) fn configured_hosts(&self) -> impl Iterator<Item = IpAddr> {
        let servers = self.of_host.iter();
        let configured = servers.filter(|(_, index)| !self.is_deleted(*index));
        let mut last = None;
        configured
            .filter_map(move |(host, _)| (last.replace(*host) != Some(*host)).then_some(*host))
    }

    /// Indexes of all servers.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.by_index.keys().copied()
    }

    /// Numbers of the source pools that servers refer to.
    pub(super) fn source_pools(&self) -> HashSet<u32> {
        let records = self
            .by_index
            .keys()
            .filter_map(|&index| self.maps.servers.read(index));
        records
            .map(|record| u32::from(record.source_pool))
            .collect()
    }

    /// Number of a server's source pool; 0: it sees clients' own addresses.
    pub(super) fn source_pool(&self, index: u32) -> u32 {
        self.maps
            .servers
            .read(index)
            .map_or(0, |record| u32::from(record.source_pool))
    }

    /// The encapsulation of a server's tunnel.
    pub(super) fn tunnel(&self, index: u32) -> Tunnel {
        let record = self.maps.servers.read(index);
        record.map_or(Tunnel::Ipip, |record| {
            tunnel::tunnel(record.encapsulation(), record.tunnel_port.get())
        })
    }

    /// Stores the source pool of a server's new connections (0: they have their own sources), and the encapsulation of
    /// its tunnel, which holds for the known ones, too.
    pub(super) fn set_way(&mut self, index: u32, pool: u32, tunnel: Tunnel) {
        const WORD: usize = offset_of!(Server, source_pool);
        const _: () =
            assert!(WORD.is_multiple_of(4) && offset_of!(Server, tunnel_port) == WORD + 2);
        const _: () = assert!(MAX_SOURCE_POOLS <= 1 << 16);
        let pool = u16::try_from(pool).unwrap_or_default();
        let (encapsulation, port) = tunnel::encapsulation(tunnel);
        if let Some(word) = self.maps.servers.word(index, WORD) {
            // The port first: the flags say that there is one.
            let ([a, b], [c, d]) = (pool.to_ne_bytes(), port.to_be_bytes());
            word.store(u32::from_ne_bytes([a, b, c, d]), Ordering::Release);
        }
        let bits = encapsulation.to_bits();
        let server = self.by_index.get_mut(&index);
        if let Some(server) = server.filter(|server| server.encapsulation != bits) {
            server.encapsulation = bits;
            self.store_flags(index);
        }
    }

    /// Addresses of all servers.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_index.values().map(|server| server.address.ip())
    }

    /// Indexes and addresses of the servers that are not deleted.
    pub(super) fn configured(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.split(false)
    }

    /// Indexes and addresses of the deleted servers.
    pub(super) fn deleted(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.split(true)
    }

    fn split(&self, deleted: bool) -> impl Iterator<Item = (u32, IpAddr)> {
        let servers = self
            .by_index
            .iter()
            .filter(move |&(&index, _)| self.is_deleted(index) == deleted);
        servers.map(|(&index, server)| (index, server.address.ip()))
    }

    /// Indexes of a service's servers, deleted ones included.
    pub(super) fn of_service(&self, service: u32) -> impl Iterator<Item = u32> {
        let servers = self.of_service.range((service, 0)..=(service, u32::MAX));
        servers.map(|&(_, index)| index)
    }

    /// Indexes of the services that any server belongs to.
    pub(super) fn services(&self) -> HashSet<u32> {
        self.by_index
            .values()
            .map(|server| server.service)
            .collect()
    }

    /// Deletes a server that is no longer part of any plan.
    pub(super) fn mark_deleted(&mut self, index: u32) {
        self.trash.insert(index);
        self.store_flags(index);
    }

    /// Makes a server a member again: its connections flow. One that is given a weight is not down either.
    pub(super) fn undelete(&mut self, index: u32, weight: u32, hop: u32) {
        let Some(server) = self.by_index.get_mut(&index) else {
            return;
        };
        if weight > 0 {
            server.down = 0;
        }
        self.trash.remove(index);
        self.store_flags(index);
        self.store_hop(index, hop);
    }

    /// Notes a server's lower and upper threshold; returns those before.
    pub(super) fn set_thresholds(&mut self, index: u32, thresholds: (u32, u32)) -> (u32, u32) {
        let server = self.by_index.get_mut(&index);
        server.map_or_else(Default::default, |server| {
            std::mem::replace(&mut server.thresholds, thresholds)
        })
    }

    /// Marks a server down, or up ([`OnDown::Keep`]); false if there is none.
    pub(super) fn set_down(&mut self, index: u32, on_down: OnDown) -> bool {
        let Some(server) = self.by_index.get_mut(&index) else {
            return false;
        };
        server.down = match on_down {
            OnDown::Keep => 0,
            OnDown::Reschedule => Server::DOWN,
            OnDown::Reset => Server::DOWN | Server::RESET,
        };
        self.store_flags(index);
        true
    }

    /// Sets the bits of [`Server::flags`] of a server that is quiesced.
    pub(super) fn set_quiesced(&mut self, index: u32, flags: u8) {
        let server = self.by_index.get_mut(&index);
        if let Some(server) = server.filter(|server| server.quiesced != flags) {
            server.quiesced = flags;
            self.store_flags(index);
        }
    }

    /// Stores the hop of each server's address.
    pub(super) fn unite_hops(&self, number: impl Fn(IpAddr) -> u32) {
        for (&index, server) in &self.by_index {
            self.store_hop(index, number(server.address.ip()));
        }
    }

    /// Sends packets of all servers at an address by another hop.
    pub(super) fn set_hop(&self, address: IpAddr, hop: u32) {
        for &(_, index) in self.of_host.range((address, 0)..=(address, u32::MAX)) {
            self.store_hop(index, hop);
        }
    }

    /// Deleted servers whose indexes nothing refers to any more, see [`Trash::expired`].
    pub(super) fn expired(&mut self, at_once: bool) -> Vec<u32> {
        let loads = &self.maps.loads;
        self.trash.expired(at_once, |index| {
            let load = loads.read(index);
            load.is_some_and(|load| load.counts != 0 || load.templates != 0)
        })
    }

    fn store_hop(&self, index: u32, hop: u32) {
        if let Some(word) = self.maps.servers.word(index, offset_of!(Server, hop)) {
            word.store(hop, Ordering::Release);
        }
    }

    /// Stores the flags of a server; they share their word with port and family, which stay.
    fn store_flags(&self, index: u32) {
        const WORD: usize = offset_of!(Server, port);
        const _: () = assert!(WORD.is_multiple_of(4) && offset_of!(Server, flags) == WORD + 3);
        let set = |flag, on| if on { flag } else { 0 };
        let others = self.by_index.get(&index);
        let others = others.map_or(0, |server| {
            server.down | server.quiesced | server.encapsulation
        });
        let flags = set(Server::DELETED, self.is_deleted(index)) | others;
        if let Some(word) = self.maps.servers.word(index, WORD) {
            let [port_high, port_low, family, _] = word.load(Ordering::Relaxed).to_ne_bytes();
            let new = u32::from_ne_bytes([port_high, port_low, family, flags]);
            word.store(new, Ordering::Release);
        }
    }
}
