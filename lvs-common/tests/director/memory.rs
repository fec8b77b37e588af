//! The director's surroundings in plain memory: tables, counters and a clock that tests set.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use lvs_common::abi::{
    ADDR_FILTER_WORDS, Call, CallNumber, Config, EthernetAddresses, Filter, FilterNode,
    FragmentKey, Hop, HostAddress, Interface, LocalFlow, LocalKey, Locality, LocalityKey, MarkRule,
    Marked, Member, Method, Pick, Plan, ProbeKey, ProbeRoute, Server, ServiceKey, SourcePool,
    Stats, TreeNode, TreeShape, UpperKey, WAYS, addr_filter_bit, ticks,
};
use lvs_common::connection::table::Ways;
use lvs_common::connection::{Client, EntryId, Ports, Protocol};
use lvs_common::family::{V4, V6};
use lvs_common::forward::{forward, stages};
use lvs_common::packet::Packet as _;
use lvs_common::verdict::Verdict;
use zerocopy::FromZeros as _;

use super::frames::{CLIENT, DIRECTOR, SERVER, wide};
use super::memory_clients::ClientSet;
use super::memory_sets::Set;
use super::packet::Frame;
use super::route_table::{RouteTable, Way};
use super::stale_workspace;

#[path = "memory/counts.rs"]
mod counts;
#[path = "memory/tables.rs"]
mod tables;

/// Every way to pick a server.
pub(crate) const PICKS: [Pick; 13] = [
    Pick::Rotate,
    Pick::Least,
    Pick::WeightedLeast,
    Pick::SourceHash,
    Pick::DestinationHash,
    Pick::Maglev,
    Pick::ShortestDelay,
    Pick::NeverQueue,
    Pick::Failover,
    Pick::Overflow,
    Pick::TwoRandom,
    Pick::Locality,
    Pick::LocalitySet,
];

/// The interface that every packet comes by.
pub(crate) const INTERFACE: u32 = 2;
struct Service {
    plan: Plan,
    /// Server index, weight, thresholds and method of each.
    members: Vec<Member>,
}

/// A director. What the operator edits needs `&mut`, what packets change is atomic.
pub(crate) struct Director {
    pub(crate) clock: AtomicU32,
    pub(crate) options: u32,
    /// The layout of records, see [`lvs_common::connection::Record`].
    pub(crate) long_indexes: bool,
    pub(crate) hops: Vec<Hop>,
    pub(crate) servers: Vec<Server>,
    /// Number 0 stands for none.
    pub(crate) source_pools: Vec<SourcePool>,
    /// ICMP errors that may still be sent.
    pub(crate) answers: AtomicU32,
    pub(crate) secrets: [u64; 16],
    services: Vec<Service>,
    index: HashMap<ServiceKey, u32>,
    /// Rules for marks that packets find by a key.
    pub(crate) keyed_marks: HashMap<ServiceKey, Marked>,
    /// Rules for marks that packets are compared with.
    pub(crate) mark_rules: Vec<MarkRule>,
    members: Vec<Member>,
    slots: Vec<u16>,
    rr_cursors: Vec<AtomicU32>,
    loads: Vec<(AtomicU64, AtomicU32)>,
    /// Tree and position of each server.
    leaves: Vec<(u32, u32)>,
    /// Best and stale bits of each node.
    tree_nodes: Vec<(AtomicU32, AtomicU32)>,
    /// Persistence templates of each server.
    templates: Vec<AtomicU32>,
    stats: Mutex<HashMap<u32, Stats>>,
    /// SYNs that clients repeated, by server.
    syn_retries: Vec<AtomicU32>,
    addr_filter: Vec<u64>,
    fragments: Mutex<HashMap<FragmentKey, Ports>>,
    localities: Mutex<HashMap<LocalityKey, Locality>>,
    /// Call-IDs, and the calls of connections.
    pub(crate) calls: Mutex<HashMap<CallNumber, Call>>,
    connection_calls: Mutex<HashMap<EntryId, CallNumber>>,
    /// Probes on the service path.
    pub(crate) probes: HashMap<ProbeKey, ProbeRoute>,
    /// The kernel's routes.
    pub(crate) routes: &'static RouteTable,
    pub(crate) interfaces: HashMap<u32, Interface>,
    /// Devices by interface and VLAN id.
    pub(crate) upper_devices: HashMap<UpperKey, u32>,
    pub(crate) own_addresses: HashSet<HostAddress>,
    /// Neighbours that the daemon was asked to find.
    pub(crate) requested: Mutex<Vec<HostAddress>>,
    /// The settings: timeouts are IPVS's.
    pub(crate) config: Config,
    /// Events that the daemon would get.
    pub(crate) events: Mutex<Vec<EntryId>>,
    /// Filters; number 0 is none.
    pub(crate) filters: Vec<Filter>,
    /// The nodes of all filters.
    pub(crate) filter_nodes: Vec<FilterNode>,
    /// What filters refused, see [`Refused`].
    refused: [AtomicU64; 8],
    clients: Vec<ClientSet>,
    v4: Vec<Set<V4>>,
    v6: Vec<Set<V6>>,
    local_flows: Mutex<HashMap<LocalKey, LocalFlow>>,
    local_peers: Mutex<HashMap<LocalKey, ServiceKey>>,
    /// The number that a local client's draw gets; each draw adds one.
    pub(crate) random: AtomicU32,
}

/// An address of a host, on an interface's link or (0) anywhere.
pub(crate) fn host(address: IpAddr, interface: u32) -> HostAddress {
    HostAddress {
        address: wide(address),
        family: if address.is_ipv4() { 4 } else { 6 },
        interface,
    }
}

pub(crate) fn ports(source: u16, destination: u16) -> Ports {
    Ports {
        source: source.into(),
        destination: destination.into(),
    }
}

/// SplitMix64: the same secrets for the same seed.
pub(crate) fn secrets(seed: u64) -> [u64; 16] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

/// Settings of a new director.
fn settings() -> Config {
    let mut config = Config::new_zeroed();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        for (state, &seconds) in (0..).zip(&protocol.default_timeouts()) {
            config.timeouts[Config::timeout_index(protocol, state)] = ticks(seconds);
        }
    }
    config
}

impl Director {
    pub(crate) fn new() -> Self {
        Self::with_sets(64)
    }

    pub(crate) fn with_sets(sets: u32) -> Self {
        let hop = Hop {
            ethernet: EthernetAddresses::new(SERVER, DIRECTOR),
            vlan: 0.into(),
            mtu: 1500,
            interface: INTERFACE,
            source4: [192, 0, 2, 250],
            source6: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfa],
            flags: Hop::XDP,
            device: INTERFACE,
            reserved: [0; 16],
        };
        Self {
            // Close to the wrap of the clock, which must not matter.
            clock: AtomicU32::new(u32::MAX - 1000),
            options: 0,
            // Of the tests that run over frames and over socket buffers, each has both layouts.
            long_indexes: Frame::BUFFER,
            hops: vec![hop; 2],
            servers: Vec::new(),
            source_pools: vec![SourcePool::new_zeroed()],
            answers: AtomicU32::new(1000),
            secrets: secrets(1),
            services: Vec::new(),
            index: HashMap::new(),
            keyed_marks: HashMap::new(),
            mark_rules: Vec::new(),
            members: Vec::new(),
            slots: Vec::new(),
            rr_cursors: Vec::new(),
            loads: Vec::new(),
            leaves: Vec::new(),
            tree_nodes: vec![Default::default()],
            templates: Vec::new(),
            stats: Mutex::default(),
            syn_retries: Vec::new(),
            addr_filter: vec![0; ADDR_FILTER_WORDS],
            fragments: Mutex::default(),
            localities: Mutex::default(),
            calls: Mutex::default(),
            connection_calls: Mutex::default(),
            probes: HashMap::new(),
            routes: Box::leak(Box::default()),
            interfaces: HashMap::new(),
            upper_devices: HashMap::new(),
            own_addresses: HashSet::new(),
            requested: Mutex::default(),
            config: settings(),
            events: Mutex::default(),
            filters: vec![Filter::default()],
            filter_nodes: Vec::new(),
            refused: Default::default(),
            clients: (0..16).map(|_| ClientSet::new()).collect(),
            v4: (0..sets).map(|_| Set::new()).collect(),
            v6: (0..sets).map(|_| Set::new()).collect(),
            local_flows: Mutex::default(),
            local_peers: Mutex::default(),
            random: AtomicU32::new(0),
        }
    }

    /// Tells the director an address of its own.
    pub(crate) fn hold(&mut self, address: IpAddr) {
        self.own_addresses.insert(host(address, 0));
        self.routes.add(Way::local(address));
    }

    /// Sets an interface's bits, of which the program sees first whether any has them.
    pub(crate) fn set_flags(&mut self, index: u32, flags: u32) {
        let interface = Interface {
            flags,
            lower: index,
            ..Interface::new_zeroed()
        };
        self.interfaces.insert(index, interface);
        let all = self.interfaces.values();
        self.config.interface_flags = all.fold(0, |all, interface| all | interface.flags);
    }

    /// Has all interfaces, also such as the program knows nothing else of, refuse the same sources.
    pub(crate) fn set_common_checks(&mut self, checks: u32) {
        self.interfaces.clear();
        self.config.interface_flags = checks;
        self.config.common_checks = checks;
    }

    /// Has the frames of an interface with this VLAN id be a device's, which may have flags of its own already.
    pub(crate) fn put_upper(&mut self, interface: u32, vlan: u32, device: u32) {
        self.upper_devices
            .insert(UpperKey { interface, vlan }, device);
        let flags = self
            .interfaces
            .get(&interface)
            .map_or(0, |found| found.flags);
        self.set_flags(interface, flags | Interface::HAS_UPPER);
    }

    /// Has an interface's frames with these tags, in the order and of the kinds that [`Draft`] writes, be its own.
    ///
    /// [`Draft`]: crate::frames::Draft
    pub(crate) fn know_vlans(&mut self, interface: u32, tags: &[u16]) {
        for (index, tag) in tags.iter().enumerate() {
            let last = index + 1 == tags.len();
            let kind = if last { 0 } else { UpperKey::SERVICE };
            self.put_upper(interface, u32::from(tag & 0xfff) | kind, interface);
        }
    }

    /// Has everything go by a VLAN device on [`INTERFACE`].
    pub(crate) fn lead_clients_by_vlan(&mut self, tag: u16) {
        const DEVICE: u32 = 30;
        self.set_flags(DEVICE, 0);
        let device = self.interfaces.get_mut(&DEVICE).expect("just inserted");
        (device.lower, device.vlan) = (INTERFACE, tag.into());
        self.put_upper(INTERFACE, u32::from(tag & 0xfff), DEVICE);
        for any in ["0.0.0.0", "::"] {
            let to = any.parse().expect("an address");
            let way = Way::host(to, DEVICE, CLIENT);
            self.routes.add(Way { bits: 0, ..way });
        }
    }

    /// Has the ways that are known looked up again.
    pub(crate) fn change_routes(&mut self, change: impl FnOnce(&RouteTable)) {
        change(self.routes);
        self.config.route_generation += 1;
    }

    /// Tells the director its Ethernet addresses.
    pub(crate) fn own(&mut self, addresses: &[[u8; 6]]) {
        let numbers = addresses.iter().copied().map(Config::own_address);
        for (place, number) in self.config.own.iter_mut().zip(numbers) {
            *place = number;
        }
        self.config.own_count = u32::try_from(addresses.len()).expect("few");
    }

    pub(crate) fn heed(&mut self, address: &[u8; 16]) {
        let (word, bit) = addr_filter_bit(address);
        self.addr_filter[word] |= 1 << bit;
    }

    /// Adds a service without servers.
    pub(crate) fn serve(&mut self, protocol: Protocol, address: SocketAddr, pick: Pick) -> u32 {
        let key = ServiceKey {
            address: wide(address.ip()),
            port: address.port().into(),
            protocol: protocol.number(),
            family: if address.is_ipv4() { 4 } else { 6 },
        };
        self.serve_key(key, pick)
    }

    /// Adds a service without servers by its key.
    pub(crate) fn serve_key(&mut self, key: ServiceKey, pick: Pick) -> u32 {
        let service = u32::try_from(self.services.len()).expect("few");
        self.services.push(Service {
            plan: Plan {
                key,
                service,
                members: 0,
                member_count: 0,
                slots: 0,
                slot_count: 0,
                persistence: 0,
                prefix: 0,
                pick: pick as u8,
                flags: 0,
                scheduler: 0,
                filter: 0,
                timeouts: [0; 3],
            },
            members: Vec::new(),
        });
        self.index.insert(key, service);
        self.rr_cursors.push(AtomicU32::new(0));
        self.heed(&key.address);
        service
    }

    /// Gives the next real server this index: those before it are of another service and get no connections.
    #[allow(dead_code, reason = "frames only")]
    pub(crate) fn skip_servers(&mut self, index: u32) {
        let other = Server {
            service: Marked::NO_SERVICE,
            ..Server::new_zeroed()
        };
        let index = index as usize;
        self.servers.resize(index, other);
        self.loads.resize_with(index, Default::default);
        self.leaves.resize(index, (0, 0));
        self.templates.resize_with(index, Default::default);
        self.syn_retries.resize_with(index, Default::default);
    }

    /// Has the members of the next services begin at this place.
    #[allow(dead_code, reason = "frames only")]
    pub(crate) fn skip_members(&mut self, place: u32) {
        let nobody = Member::new_zeroed();
        self.members.resize(place as usize, nobody);
    }

    /// Adds a real server and returns its index.
    pub(crate) fn add(&mut self, service: u32, to: SocketAddr, method: Method, weight: u32) -> u32 {
        let server = u32::try_from(self.servers.len()).expect("few");
        let address = wide(to.ip());
        self.servers.push(Server {
            address,
            port: to.port().into(),
            family: if to.is_ipv4() { 4 } else { 6 },
            flags: 0,
            service,
            hop: 1,
            source_pool: 0,
            tunnel_port: 0.into(),
        });
        self.loads.push(Default::default());
        self.leaves.push((0, 0));
        self.templates.push(AtomicU32::new(0));
        self.syn_retries.push(AtomicU32::new(0));
        if method != Method::Direct {
            self.heed(&address);
        }
        let member = Member {
            server,
            weight,
            upper: 0,
            lower: 0,
            method: method as u8,
            configured: method as u8,
            reserved: [0; 2],
            last_weight: weight,
            padding: [0; 8],
        };
        self.edit(service, |_, members| members.push(member));
        server
    }

    /// Changes a service and lays out its tables anew: for the rotating and Maglev schedulers each
    /// member as often as it weighs, for the others 256 buckets filled in turn.
    pub(crate) fn edit(&mut self, service: u32, change: impl FnOnce(&mut Plan, &mut Vec<Member>)) {
        let Service { plan, members } = &mut self.services[service as usize];
        change(plan, members);
        let count = |length: usize| u32::try_from(length).expect("few");
        plan.members = count(self.members.len());
        plan.member_count = count(members.len());
        plan.slots = count(self.slots.len());
        let turns: Vec<u16> = (0_u16..)
            .zip(&*members)
            .flat_map(|(position, member)| {
                let times = match Pick::from_raw(plan.pick) {
                    Pick::DestinationHash => 1,
                    _ => member
                        .weight
                        .max(u32::from(plan.pick != Pick::Rotate as u8)),
                };
                std::iter::repeat_n(position, times as usize)
            })
            .collect();
        let size = match Pick::from_raw(plan.pick) {
            Pick::SourceHash | Pick::DestinationHash => 256,
            Pick::Maglev => 4093,
            _ => turns.len(),
        };
        self.slots.extend(turns.iter().cycle().take(size));
        plan.slot_count = count(self.slots.len()) - plan.slots;
        let best = Pick::from_raw(plan.pick).is_best();
        if best {
            self.slots.truncate(plan.slots as usize);
            (plan.slots, plan.slot_count) = (0, 0);
        }
        // Even where a walk is cheaper.
        if best && plan.member_count > TreeShape::FORK {
            plan.slots = count(self.tree_nodes.len());
            let nodes = plan.tree().expect("a tree").nodes() as usize;
            let TreeNode { best, stale } = TreeNode::of_new_tree(plan.members, members);
            let node = || (AtomicU32::new(best), AtomicU32::new(stale));
            self.tree_nodes
                .extend(std::iter::repeat_with(node).take(nodes));
        }
        let tree = plan.tree().map_or(0, |tree| tree.root);
        for (position, member) in (0..).zip(&*members) {
            self.leaves[member.server as usize] = (tree, position);
        }
        self.members.extend(&*members);
    }

    pub(crate) fn pass_time(&self, seconds: u32) {
        self.clock.fetch_add(ticks(seconds), SeqCst);
    }

    /// Handles a frame; returns the verdict and what became of the frame.
    pub(crate) fn handle(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        self.handle_by(INTERFACE, frame)
    }

    /// The same for a frame that came by another interface.
    pub(crate) fn handle_by(&self, interface: u32, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut frame = Frame::new(frame);
        frame.interface = interface;
        let verdict = self.forward(&mut frame);
        (verdict, frame.bytes())
    }

    /// The same, always by the long way.
    pub(crate) fn handle_by_stages(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut frame = Frame::new(frame);
        let verdict = self.forward_by_stages(&mut frame);
        (verdict, frame.bytes())
    }

    /// Handles a packet.
    pub(crate) fn forward(&self, packet: &mut Frame) -> Verdict {
        packet.routes = self.routes;
        forward(packet, self, &mut stale_workspace::stale())
    }

    /// The same, always by the long way.
    pub(crate) fn forward_by_stages(&self, packet: &mut Frame) -> Verdict {
        packet.routes = self.routes;
        stages(packet, self, &mut stale_workspace::stale())
    }

    /// As if another director had made all IPv4 connections: no packet of a client came here.
    pub(crate) fn forget_clients(&self) {
        for set in &self.v4 {
            for way in 0..WAYS {
                Ways::<V4>::set_client(set, way, &Client::default());
            }
        }
    }

    /// Sets the ports of all fragmented packets.
    #[allow(dead_code, reason = "frames only")]
    pub(crate) fn forget_fragments(&self, ports: Ports) {
        let mut fragments = self.fragments.lock().expect("no panic while held");
        fragments.values_mut().for_each(|known| *known = ports);
    }

    fn count(&self, server: u32, change: impl FnOnce(&mut Stats)) {
        let mut stats = self.stats.lock().expect("no panic while held");
        change(stats.entry(server).or_default());
    }
}
