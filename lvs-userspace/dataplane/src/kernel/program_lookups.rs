//! Lookups of the packet path for user space, which goes through it itself in `why`: hashes, address filters and the
//! kernel's routes. All of them read-only.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData};
use aya::programs::Xdp;
use lvs_common::abi::{
    self, ADDR_FILTER_WORDS, HostAddress, Interface, KeyedMark, Locality, LocalityKey,
    ROUTES_PROGRAM, RouteQuestion, ServiceKey, TreeNode, UpperKey,
};
use lvs_common::routes::Lookup;
use zerocopy::IntoBytes as _;

use super::bpffs::Directory;
use super::error::{KernelError, program_error};
use super::mapping::Mapping;
use super::run_program::run_program;
use super::wire::Wire;

/// The maps that only the program looks into, with the program that asks the routes.
pub struct ProgramLookups {
    services: HashMap<MapData, Wire<ServiceKey>, u32>,
    keyed_marks: HashMap<MapData, Wire<ServiceKey>, Wire<KeyedMark>>,
    interfaces: HashMap<MapData, u32, Wire<Interface>>,
    upper_devices: HashMap<MapData, Wire<UpperKey>, u32>,
    own_hosts: HashMap<MapData, Wire<HostAddress>, u32>,
    localities: HashMap<MapData, Wire<LocalityKey>, Wire<Locality>>,
    addr_filter: Mapping<u64>,
    own_filter: Mapping<u64>,
    tree_nodes: Mapping<TreeNode>,
    rr_cursors: Array<MapData, u32>,
    routes: OwnedFd,
}

impl ProgramLookups {
    /// Opens the pinned maps of a loaded object.
    pub(super) fn open(ebpf: &Ebpf, directory: &Directory) -> Result<Self, KernelError> {
        let pinned = |name| {
            MapData::from_pin(directory.pin(name)).map_err(KernelError::map("cannot open", name))
        };
        let program = ebpf
            .program(ROUTES_PROGRAM)
            .ok_or(KernelError::Missing(ROUTES_PROGRAM))?;
        let program: &Xdp = program.try_into().map_err(program_error("cannot use"))?;
        let routes = program.fd().map_err(program_error("cannot use"))?;
        let routes = routes.as_fd().try_clone_to_owned();
        Ok(Self {
            services: hash(pinned(abi::SERVICES)?, abi::SERVICES)?,
            keyed_marks: hash(pinned(abi::KEYED_MARKS)?, abi::KEYED_MARKS)?,
            interfaces: hash(pinned(abi::INTERFACES)?, abi::INTERFACES)?,
            upper_devices: hash(pinned(abi::UPPER_DEVICES)?, abi::UPPER_DEVICES)?,
            own_hosts: hash(pinned(abi::OWN_HOSTS)?, abi::OWN_HOSTS)?,
            localities: HashMap::try_from(Map::LruHashMap(pinned(abi::LOCALITIES)?))
                .map_err(KernelError::map("cannot use", abi::LOCALITIES))?,
            addr_filter: Mapping::of(&pinned(abi::ADDR_FILTER)?, abi::ADDR_FILTER)?,
            own_filter: Mapping::of(&pinned(abi::OWN_FILTER)?, abi::OWN_FILTER)?,
            tree_nodes: Mapping::of(&pinned(abi::TREE_NODES)?, abi::TREE_NODES)?,
            rr_cursors: Array::try_from(Map::Array(pinned(abi::RR_CURSORS)?))
                .map_err(KernelError::map("cannot use", abi::RR_CURSORS))?,
            routes: routes.map_err(KernelError::file("cannot use", ROUTES_PROGRAM))?,
        })
    }

    /// Index of the service with exactly this key.
    pub fn service(&self, key: &ServiceKey) -> Option<u32> {
        self.services.get(&Wire(*key), 0).ok()
    }

    /// The rule for a mark that packets find by exactly this key.
    pub fn keyed_mark(&self, key: &ServiceKey) -> Option<KeyedMark> {
        let found = self.keyed_marks.get(&Wire(*key), 0);
        found.ok().map(|Wire(mark)| mark)
    }

    /// An interface by its index.
    pub fn interface(&self, index: u32) -> Option<Interface> {
        let found = self.interfaces.get(&index, 0);
        found.ok().map(|Wire(interface)| interface)
    }

    /// Index of the device that such frames are.
    pub fn upper_device(&self, key: &UpperKey) -> Option<u32> {
        self.upper_devices.get(&Wire(*key), 0).ok()
    }

    /// Returns whether this host has an address.
    pub fn is_own_host(&self, address: &HostAddress) -> bool {
        self.own_hosts.get(&Wire(*address), 0).is_ok()
    }

    /// The servers of a destination.
    pub fn locality(&self, key: &LocalityKey) -> Option<Locality> {
        let found = self.localities.get(&Wire(*key), 0);
        found.ok().map(|Wire(locality)| locality)
    }

    /// A word of the filter of the addresses that the director looks at.
    pub fn addr_filter(&self, word: usize) -> u64 {
        filter_word(&self.addr_filter, word)
    }

    /// A word of the filter of this host's addresses.
    pub fn own_filter(&self, word: usize) -> u64 {
        filter_word(&self.own_filter, word)
    }

    /// A node of the tournament trees.
    pub fn tree_node(&self, number: u32) -> Option<TreeNode> {
        self.tree_nodes.read(number)
    }

    /// The next ticket of a service's rotating scheduler.
    pub fn ticket(&self, service: u32) -> u32 {
        self.rr_cursors.get(&service, 0).unwrap_or(0)
    }

    /// Asks the kernel's routes as a packet does that comes by the interface that `lookup` names; the answer takes its
    /// place. Returns the answer's code.
    pub fn ask_routes(&self, lookup: &mut Lookup, flags: u32) -> io::Result<u32> {
        let mut question = RouteQuestion {
            lookup: zerocopy::transmute!(*lookup),
            flags: flags.to_ne_bytes(),
        };
        let answer = run_program(self.routes.as_fd(), question.as_mut_bytes())?;
        *lookup = zerocopy::transmute!(question.lookup);
        Ok(answer)
    }
}

fn filter_word(filter: &Mapping<u64>, word: usize) -> u64 {
    let word = u32::try_from(word & (ADDR_FILTER_WORDS - 1)).unwrap_or(0);
    filter.read(word).unwrap_or(0)
}

fn hash<K: aya::Pod, V: aya::Pod>(
    map: MapData,
    name: &'static str,
) -> Result<HashMap<MapData, K, V>, KernelError> {
    HashMap::try_from(Map::HashMap(map)).map_err(KernelError::map("cannot use", name))
}
