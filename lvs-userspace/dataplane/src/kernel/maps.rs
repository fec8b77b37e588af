//! The maps, typed.

use std::os::fd::AsFd as _;

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use aya::{Ebpf, Pod};
use lvs_common::abi::{
    self, Config, Filter, FilterNode, FilterStats, Hop, KeyedMark, MAX_REASONS, MarkRule, Member,
    Plan, Server, ServiceKey, SourcePool, Stats,
};
use lvs_common::family::{Family, V4, V6};
use lvs_common::ftp;
use zerocopy::FromZeros;

use super::address_bits::AddressBits;
use super::bpffs::Directory;
use super::calls::Calls;
use super::clients::ClientTable;
use super::entry_mapping::EntryMapping;
use super::error::KernelError;
use super::events::Events;
use super::held_fragments::HeldFragments;
use super::interface_table::InterfaceTable;
use super::localities::Localities;
use super::mapping::{Mapping, Plain};
use super::neighbour_requests::NeighbourRequests;
use super::own_hosts::OwnHosts;
use super::own_map::own_map;
use super::per_cpu::{Counters, FilterCounters, Verdicts};
use super::per_cpu_values::PerCpuValues;
use super::probes::Probes;
use super::program_lookups::ProgramLookups;
use super::saved_sync_daemon::SavedSyncDaemon;
use super::server_loads::ServerLoads;
use super::trace::LostFrames;
use super::upper_devices::UpperDevices;
use super::windows::Windows;
use super::wire::Wire;

/// Peers that are kept in [`Maps::sending_peers`].
pub const SENDING_PEERS: u32 = 64;
/// Room for settings of `net.ipv4.vs`, those of later versions included.
const SYSCTLS: u32 = 128;

/// Everything but the hash of services. See [`lvs_common::abi`] for what each holds.
#[expect(missing_docs, reason = "named after the maps")]
pub struct Maps {
    pub config: Mapping<Config>,
    pub mark_rules: Mapping<MarkRule>,
    pub active_plans: Mapping<u32>,
    pub plans: Mapping<Plan>,
    pub members: Mapping<Member>,
    pub slots: Windows<u16>,
    pub servers: Mapping<Server>,
    pub hops: Mapping<Hop>,
    pub source_pools: Mapping<SourcePool>,
    pub loads: ServerLoads,
    pub syn_retries: Mapping<u32>,
    pub addr_filter: AddressBits,
    pub filters: Mapping<Filter>,
    pub filter_nodes: Mapping<FilterNode>,
    /// The clients whose connections or packets are limited.
    pub clients: ClientTable,
    pub connections4: EntryMapping<V4>,
    pub connections6: EntryMapping<V6>,
    pub server_counters: Counters,
    pub service_counters: Counters,
    pub filter_counters: FilterCounters,
    pub verdicts: Verdicts,
    pub events: Events,
    pub held_fragments: HeldFragments,
    pub probes: Probes,
    pub interfaces: InterfaceTable,
    /// See [`abi::UPPER_DEVICES`].
    pub upper_devices: UpperDevices,
    pub own_hosts: OwnHosts,
    pub neighbour_requests: NeighbourRequests,
    pub lost_frames: LostFrames,
    /// See [`abi::CALLS`].
    pub calls: Calls,
    /// See [`abi::LOCALITIES`].
    pub localities: Localities,
    /// Hashes, address filters and the kernel's routes, read-only: for [`crate::why`].
    pub program_lookups: ProgramLookups,
    /// The number of frames to subtract from each verdict, by the number of its reason, see [`crate::not_sent`].
    pub not_sent: Mapping<u64>,
    /// The sync daemons that are to run, by role: they outlive the process.
    pub sync_daemons: Mapping<SavedSyncDaemon>,
    /// The directors whose connections may be in the tables; 0: none.
    pub sending_peers: Mapping<u64>,
    /// The settings of `net.ipv4.vs` by their numbers: each value plus one; 0: it is not set.
    pub sysctls: Mapping<u64>,
}

impl Maps {
    /// The port of a real server for a connection to this virtual port.
    pub fn server_port(&self, server: &Server, port: u16) -> u16 {
        let plan = self.active_plans.read(server.service);
        let plan = plan.filter(|&plan| plan != 0);
        match plan.and_then(|plan| self.plans.read(plan)) {
            Some(plan) => ftp::server_port(&plan.key, server.port, port.into()).get(),
            None if server.port.get() == 0 => port,
            None => server.port.get(),
        }
    }

    /// `secrets` are those of the tables' hash.
    pub(super) fn from_ebpf(
        ebpf: &Ebpf,
        directory: &Directory,
        secrets: [u64; 16],
    ) -> Result<Self, KernelError> {
        let active_plans = array(ebpf, abi::ACTIVE_PLANS)?;
        let plans = array(ebpf, abi::PLANS)?;
        let filters = array(ebpf, abi::FILTERS)?;
        let servers_map = array(ebpf, abi::SERVERS)?;
        let servers: Mapping<Server> = Mapping::of(&servers_map, abi::SERVERS)?;
        let plans_in_force: Mapping<u32> = Mapping::of(&active_plans, abi::ACTIVE_PLANS)?;
        // Made here and not by the object: the program has no use for them.
        let server_bases: MapData =
            own_map::<Wire<Stats>>(directory, "server_bases", servers.len())?;
        let services = plans_in_force.len();
        let service_bases: MapData = own_map::<Wire<Stats>>(directory, "service_bases", services)?;
        let sync_daemons: MapData = own_map::<Wire<SavedSyncDaemon>>(directory, "sync_daemons", 2)?;
        let sending_peers: MapData = own_map::<u64>(directory, "sending_peers", SENDING_PEERS)?;
        let sysctls: MapData = own_map::<u64>(directory, "sysctls", SYSCTLS)?;
        let not_sent: MapData = own_map::<u64>(directory, "not_sent", MAX_REASONS)?;
        let filter_bases: MapData =
            own_map::<Wire<FilterStats>>(directory, "filter_bases", services)?;
        let config: Mapping<Config> = mapping(ebpf, abi::CONFIG)?;
        let clients = ClientTable {
            sets: mapping(ebpf, abi::CLIENTS)?,
            active_plans: Mapping::of(&active_plans, abi::ACTIVE_PLANS)?,
            plans: Mapping::of(&plans, abi::PLANS)?,
            filters: Mapping::of(&filters, abi::FILTERS)?,
            secrets,
        };
        Ok(Self {
            config,
            mark_rules: mapping(ebpf, abi::MARK_RULES)?,
            clients,
            filters: Mapping::of(&filters, abi::FILTERS)?,
            filter_nodes: mapping(ebpf, abi::FILTER_NODES)?,
            filter_counters: FilterCounters::new(
                per_cpu_values(ebpf, abi::FILTER_STATS)?,
                Mapping::of(&filter_bases, "filter_bases")?,
            ),
            active_plans: plans_in_force,
            plans: Mapping::of(&plans, abi::PLANS)?,
            members: mapping(ebpf, abi::MEMBERS)?,
            slots: Windows::of(array(ebpf, abi::SLOTS)?, abi::SLOTS)?,
            servers,
            hops: mapping(ebpf, abi::HOPS)?,
            source_pools: mapping(ebpf, abi::SOURCE_POOLS)?,
            loads: ServerLoads::new(
                mapping(ebpf, abi::LOADS)?,
                mapping(ebpf, abi::TREE_NODES)?,
                Mapping::of(&servers_map, abi::SERVERS)?,
            ),
            syn_retries: mapping(ebpf, abi::SYN_RETRIES)?,
            addr_filter: AddressBits(mapping(ebpf, abi::ADDR_FILTER)?),
            connections4: entries(ebpf, abi::CONNECTIONS4)?,
            connections6: entries(ebpf, abi::CONNECTIONS6)?,
            server_counters: Counters::new(
                per_cpu_values(ebpf, abi::SERVER_STATS)?,
                Mapping::of(&server_bases, "server_bases")?,
            ),
            service_counters: Counters::new(
                per_cpu_values(ebpf, abi::SERVICE_STATS)?,
                Mapping::of(&service_bases, "service_bases")?,
            ),
            verdicts: Verdicts(per_cpu_values(ebpf, abi::VERDICTS)?),
            events: Events::new(map(ebpf, abi::EVENTS)?, per_cpu(ebpf, abi::LOST_EVENTS)?)?,
            held_fragments: HeldFragments::new(
                map(ebpf, abi::HELD_FRAGMENTS)?,
                map(ebpf, abi::FRAGMENTS)?,
            )?,
            probes: Probes::new(map(ebpf, abi::PROBES)?)?,
            interfaces: InterfaceTable::new(map(ebpf, abi::INTERFACES)?)?,
            upper_devices: UpperDevices::new(map(ebpf, abi::UPPER_DEVICES)?)?,
            own_hosts: OwnHosts::new(
                map(ebpf, abi::OWN_HOSTS)?,
                AddressBits(mapping(ebpf, abi::OWN_FILTER)?),
            )?,
            neighbour_requests: NeighbourRequests::new(map(ebpf, abi::NEIGHBOUR_REQUESTS)?)?,
            localities: Localities::new(map(ebpf, abi::LOCALITIES)?)?,
            program_lookups: ProgramLookups::open(ebpf, directory)?,
            lost_frames: LostFrames::new(map(ebpf, abi::LOST_FRAMES)?)?,
            calls: Calls::new(map(ebpf, abi::CALLS)?, map(ebpf, abi::CONNECTION_CALLS)?)?,
            not_sent: Mapping::of(&not_sent, "not_sent")?,
            sync_daemons: Mapping::of(&sync_daemons, "sync_daemons")?,
            sending_peers: Mapping::of(&sending_peers, "sending_peers")?,
            sysctls: Mapping::of(&sysctls, "sysctls")?,
        })
    }
}

/// The hashes that virtual services and marks are found by. Only the director changes them.
pub struct ServiceKeys {
    services: HashMap<MapData, Wire<ServiceKey>, u32>,
    marks: HashMap<MapData, Wire<ServiceKey>, Wire<KeyedMark>>,
}

impl ServiceKeys {
    pub(super) fn from_ebpf(ebpf: &Ebpf) -> Result<Self, KernelError> {
        let services = map(ebpf, abi::SERVICES)?;
        let marks = map(ebpf, abi::KEYED_MARKS)?;
        Ok(Self {
            services: HashMap::try_from(services)
                .map_err(KernelError::map("cannot use", abi::SERVICES))?,
            marks: HashMap::try_from(marks)
                .map_err(KernelError::map("cannot use", abi::KEYED_MARKS))?,
        })
    }

    /// Every key with its service index.
    pub fn all(&self) -> Result<Vec<(ServiceKey, u32)>, KernelError> {
        self.services
            .iter()
            .map(|entry| entry.map(|(Wire(key), index)| (key, index)))
            .collect::<Result<_, _>>()
            .map_err(KernelError::map("cannot read", abi::SERVICES))
    }

    /// Lets packets find a service by this key.
    pub fn insert(&mut self, key: ServiceKey, index: u32) -> Result<(), KernelError> {
        self.services
            .insert(Wire(key), index, 0)
            .map_err(KernelError::map("cannot write", abi::SERVICES))
    }

    /// Lets packets find no service by this key any more.
    pub fn remove(&mut self, key: ServiceKey) -> Result<(), KernelError> {
        self.services
            .remove(&Wire(key))
            .map_err(KernelError::map("cannot write", abi::SERVICES))
    }

    /// Every key of packets with a mark.
    pub fn marks(&self) -> Result<Vec<(ServiceKey, KeyedMark)>, KernelError> {
        self.marks
            .iter()
            .map(|entry| entry.map(|(Wire(key), Wire(mark))| (key, mark)))
            .collect::<Result<_, _>>()
            .map_err(KernelError::map("cannot read", abi::KEYED_MARKS))
    }

    /// Gives packets with this key a mark.
    pub fn insert_mark(&mut self, key: ServiceKey, mark: KeyedMark) -> Result<(), KernelError> {
        self.marks
            .insert(Wire(key), Wire(mark), 0)
            .map_err(KernelError::map("cannot write", abi::KEYED_MARKS))
    }

    /// Gives packets with this key no mark any more.
    pub fn remove_mark(&mut self, key: ServiceKey) -> Result<(), KernelError> {
        self.marks
            .remove(&Wire(key))
            .map_err(KernelError::map("cannot write", abi::KEYED_MARKS))
    }
}

/// A map of an object, by a descriptor of its own: programs that are loaded later refer to the object's.
pub(super) fn map(ebpf: &Ebpf, name: &'static str) -> Result<Map, KernelError> {
    let (Map::Array(found)
    | Map::HashMap(found)
    | Map::LruHashMap(found)
    | Map::PerCpuArray(found)
    | Map::RingBuf(found)) = ebpf.map(name).ok_or(KernelError::Missing(name))?
    else {
        return Err(KernelError::Missing(name));
    };
    let descriptor = found.fd().as_fd().try_clone_to_owned();
    let descriptor = descriptor.map_err(KernelError::file("cannot open the map", name))?;
    MapData::from_fd(descriptor)
        .and_then(Map::from_map_data)
        .map_err(KernelError::map("cannot open", name))
}

pub(super) fn mapping<T: Plain>(
    ebpf: &Ebpf,
    name: &'static str,
) -> Result<Mapping<T>, KernelError> {
    Mapping::of(&array(ebpf, name)?, name)
}

fn entries<F: Family>(ebpf: &Ebpf, name: &'static str) -> Result<EntryMapping<F>, KernelError> {
    EntryMapping::of(array(ebpf, name)?, name)
}

fn array(ebpf: &Ebpf, name: &'static str) -> Result<MapData, KernelError> {
    match map(ebpf, name)? {
        Map::Array(data) => Ok(data),
        _ => Err(KernelError::Missing(name)),
    }
}

fn per_cpu<V: Pod>(
    ebpf: &Ebpf,
    name: &'static str,
) -> Result<PerCpuArray<MapData, V>, KernelError> {
    PerCpuArray::try_from(map(ebpf, name)?).map_err(KernelError::map("cannot use", name))
}

fn per_cpu_values<V: Plain + FromZeros>(
    ebpf: &Ebpf,
    name: &'static str,
) -> Result<PerCpuValues<V>, KernelError> {
    match map(ebpf, name)? {
        Map::PerCpuArray(data) => PerCpuValues::new(data, name),
        _ => Err(KernelError::Missing(name)),
    }
}
