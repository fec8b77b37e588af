//! Creates a data path, or adopts the one that is pinned, with this build's program.

use std::path::Path;
use std::sync::Arc;

use aya::maps::{MapData, MapInfo};
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use aya_obj::Object;
use lvs_common::abi::{
    self, ABI_VERSION, Config, DEFAULT_FILTER_NODES, DEFAULT_FRAGMENTS, DEFAULT_HOPS,
    DEFAULT_SERVERS, DEFAULT_SERVICES, DEFAULT_SLOTS, FILTERS_PER_SERVICE, MAX_SERVERS,
    MAX_SERVICES, MEMBERS_PER_SERVER, MEMBERS_PER_TREE_NODE, PLANS_PER_SERVICE, SHORT_INDEXES,
    Sync, TraceOffsets, WAYS,
};
use lvs_common::connection::Protocol;
use tracing::{debug, info, warn};
use zerocopy::FromZeros as _;

use super::bpffs::Directory;
use super::error::KernelError;
use super::load_programs::load_programs;
use super::mapping::{Mapping, page_size};
use super::maps::{Maps, ServiceKeys};
use super::namespace;
use super::packet_programs::PacketPrograms;
use super::stage_programs::{WayIn, is_private};
use super::trace;
use super::wire::Wire;

/// The BPF object, part of the executable.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/director.o"));

/// The same program inside the bench's harness.
static BENCH: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.o"));

/// Default number of entries of the IPv4 connection table.
pub const DEFAULT_ENTRIES4: u32 = 512 * 1024;
/// Default number of entries of the IPv6 connection table.
pub const DEFAULT_ENTRIES6: u32 = 128 * 1024;

/// Options of a data path. Sizes have defaults; a data path that is adopted keeps its own.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Virtual services.
    pub services: Option<u32>,
    /// Real servers of all services together.
    pub servers: Option<u32>,
    /// Entries of the IPv4 connection table.
    pub entries4: Option<u32>,
    /// Entries of the IPv6 connection table.
    pub entries6: Option<u32>,
    /// Room for the scheduling tables of all services.
    pub slots: Option<u32>,
    /// Fragmented packets followed at once.
    pub fragments: Option<u32>,
    /// Room for the lists of all filters, in elements of 24 bytes.
    pub filter_nodes: Option<u32>,
    /// Outer source addresses of tunnels vary with the flow.
    pub rss_source: bool,
    /// ICMP errors per second and CPU.
    pub icmp_rate: u32,
    /// See [`abi::Sync`].
    pub sync_threshold: u32,
    /// See [`abi::Sync`].
    pub sync_period: u32,
    /// The programs for sockets on the director are wanted, see [`DataPath::serve_local_clients`].
    pub local_clients: bool,
    /// Level of the programs' own log as aya-log numbers them: 0 is off, 5 all.
    pub program_log: u8,
}

/// Records and lines that an object's programs make of packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instrumentation {
    /// Its programs record packets.
    pub(super) tracing: bool,
    /// Level of their own log.
    pub(super) log: u8,
}

/// Sizes of the maps that options size, in map entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) services: u32,
    pub(super) servers: u32,
    sets4: u32,
    sets6: u32,
    slots: u32,
    fragments: u32,
    filter_nodes: u32,
}

impl Sizes {
    pub(super) fn wanted(options: &Options, object: &Object) -> Self {
        let per_value = object
            .maps
            .get(abi::SLOTS)
            .map_or(1, |map| (map.value_size() / 2).max(1));
        let sets =
            |entries: Option<u32>, default: u32| entries.unwrap_or(default).div_ceil(WAYS).max(1);
        let services = options.services.unwrap_or(DEFAULT_SERVICES);
        let servers = options.servers.unwrap_or(DEFAULT_SERVERS);
        Self {
            services: services.clamp(1, MAX_SERVICES),
            servers: servers.clamp(1, MAX_SERVERS),
            sets4: sets(options.entries4, DEFAULT_ENTRIES4),
            sets6: sets(options.entries6, DEFAULT_ENTRIES6),
            slots: options
                .slots
                .unwrap_or(DEFAULT_SLOTS)
                .div_ceil(per_value)
                .max(1),
            fragments: options.fragments.unwrap_or(DEFAULT_FRAGMENTS).max(1),
            filter_nodes: options.filter_nodes.unwrap_or(DEFAULT_FILTER_NODES).max(1),
        }
    }

    /// The sizes of the pinned maps.
    fn of_pinned(directory: &Directory) -> Result<Self, KernelError> {
        let size = |name| Ok::<_, KernelError>(pinned(directory, name)?.max_entries());
        Ok(Self {
            services: size(abi::ACTIVE_PLANS)?,
            servers: size(abi::SERVERS)?,
            sets4: size(abi::CONNECTIONS4)?,
            sets6: size(abi::CONNECTIONS6)?,
            slots: size(abi::SLOTS)?,
            fragments: size(abi::FRAGMENTS)?,
            filter_nodes: size(abi::FILTER_NODES)?,
        })
    }

    /// Warns of sizes asked for that are not those of the tables found.
    fn warn_of_difference(self, wanted: Self, options: &Options) {
        for (what, asked, same) in [
            (
                "virtual services",
                options.services,
                self.services == wanted.services,
            ),
            (
                "real servers",
                options.servers,
                self.servers == wanted.servers,
            ),
            (
                "entries in the IPv4 table",
                options.entries4,
                self.sets4 == wanted.sets4,
            ),
            (
                "entries in the IPv6 table",
                options.entries6,
                self.sets6 == wanted.sets6,
            ),
            ("slots", options.slots, self.slots == wanted.slots),
            (
                "fragmented packets",
                options.fragments,
                self.fragments == wanted.fragments,
            ),
            (
                "elements for the lists of filters",
                options.filter_nodes,
                self.filter_nodes == wanted.filter_nodes,
            ),
        ] {
            if let (Some(asked), false) = (asked, same) {
                warn!("not {asked} {what}: the tables found keep their sizes until --reset");
            }
        }
    }

    fn by_name(self) -> [(&'static str, u32); 19] {
        let Self {
            services, servers, ..
        } = self;
        let members = MEMBERS_PER_SERVER * servers;
        [
            (abi::SERVICES, services),
            (abi::ACTIVE_PLANS, services),
            (abi::PLANS, PLANS_PER_SERVICE * services),
            (abi::RR_CURSORS, services),
            (abi::FILTERS, FILTERS_PER_SERVICE * services),
            (abi::SERVICE_STATS, services),
            (abi::FILTER_STATS, services),
            (abi::SERVERS, servers),
            (abi::LOADS, servers),
            (abi::SYN_RETRIES, servers),
            (abi::SERVER_STATS, servers),
            (abi::MEMBERS, members),
            (abi::TREE_NODES, members.div_ceil(MEMBERS_PER_TREE_NODE)),
            // Few servers may have many addresses, one after the other.
            (abi::HOPS, servers.max(DEFAULT_HOPS)),
            (abi::CONNECTIONS4, self.sets4),
            (abi::CONNECTIONS6, self.sets6),
            (abi::SLOTS, self.slots),
            (abi::FRAGMENTS, self.fragments),
            (abi::FILTER_NODES, self.filter_nodes),
        ]
    }
}

/// The running data path.
pub struct DataPath {
    /// The maps.
    pub maps: Arc<Maps>,
    /// True if it was found running, and so may hold services and connections.
    pub adopted: bool,
    pub(super) programs: PacketPrograms,
    /// Those in their place while somebody traces.
    pub(super) tracing: Option<PacketPrograms>,
    /// Level of the programs' own log.
    pub(super) log: u8,
    /// Lost frames are counted.
    pub(super) traced: bool,
    pub(super) directory: Directory,
}

impl DataPath {
    /// Adopts what is pinned in the folder, or makes it. With `reset` what is there is removed first.
    pub fn open(
        directory: Directory,
        options: &Options,
        reset: bool,
    ) -> Result<(Self, ServiceKeys), KernelError> {
        let object = Object::parse(OBJECT).map_err(|error| KernelError::Object(Box::new(error)))?;
        if reset {
            info!("removing the data path in {}", directory.path().display());
            directory.clear()?;
        }
        let wanted = Sizes::wanted(options, &object);
        directory.rename_old()?;
        let found = find(&directory, &object)?;
        let adopted = found.is_some();
        let (mut config, sizes) = if let Some((config, sizes)) = found {
            info!("adopting the data path in {}", directory.path().display());
            sizes.warn_of_difference(wanted, options);
            (config, sizes)
        } else {
            directory.clear()?;
            (new_config()?, wanted)
        };
        config.options &= Config::MIXED | Config::SYSCTLS;
        if options.rss_source {
            config.options |= Config::RSS_SOURCE;
        }
        config.icmp_rate = options.icmp_rate;
        config.sync.threshold = options.sync_threshold;
        config.sync.repeats = Sync::every(options.sync_period);
        let pins = Some((&directory, &object));
        let instrumentation = Instrumentation {
            tracing: false,
            log: options.program_log,
        };
        let loaded = load(
            OBJECT,
            &config,
            sizes,
            pins,
            options.local_clients,
            instrumentation,
        );
        let loaded = loaded.and_then(|ebpf| {
            let maps = Maps::from_ebpf(&ebpf, &directory, config.secrets)?;
            let keys = ServiceKeys::from_ebpf(&ebpf)?;
            Ok((ebpf, maps, keys))
        });
        let (mut ebpf, maps, keys) = match loaded {
            Ok(loaded) => loaded,
            Err(error) if adopted => return Err(error),
            Err(error) => {
                directory.clear()?;
                return Err(error);
            }
        };
        let traced = trace::attach(&mut ebpf, &directory);
        let programs = PacketPrograms::new(ebpf, options.program_log)?;
        maps.config.write(0, config);
        if !adopted {
            maps.config.write(0, Config { ready: 1, ..config });
            info!("made a data path in {}", directory.path().display());
        }
        Ok((
            Self {
                maps: Arc::new(maps),
                adopted,
                programs,
                tracing: None,
                log: options.program_log,
                traced,
                directory,
            },
            keys,
        ))
    }

    /// Detaches the program and removes everything.
    pub fn remove(self) -> Result<(), KernelError> {
        drop(self.programs);
        self.directory.remove()
    }
}

/// The settings and sizes of a complete data path of this layout; `None` if there is none, or one
/// that a start left half made.
fn find(directory: &Directory, object: &Object) -> Result<Option<(Config, Sizes)>, KernelError> {
    let path = directory.pin(abi::CONFIG);
    if !path.exists() {
        return Ok(None);
    }
    let map = MapData::from_pin(&path).map_err(KernelError::map("cannot open", abi::CONFIG))?;
    // Only the first two words are the same in every layout.
    let words = Mapping::<u32>::of(&map, abi::CONFIG)?;
    if words.read(1) != Some(1) {
        return Ok(None);
    }
    let found = words.read(0).unwrap_or(0);
    if found != ABI_VERSION {
        let path = directory.path().to_owned();
        return Err(KernelError::Incompatible {
            path,
            found,
            wanted: ABI_VERSION,
        });
    }
    let config = Mapping::<Config>::of(&map, abi::CONFIG)?;
    let sizes = Sizes::of_pinned(directory)?;
    for (name, asked) in pinned_maps(object) {
        if directory.pin(name).exists() {
            compare(
                &directory.pin(name),
                &pinned(directory, name)?,
                asked,
                &sizes,
                name,
            )?;
        }
    }
    Ok(config.read(0).map(|config| (config, sizes)))
}

fn pinned(directory: &Directory, name: &str) -> Result<MapInfo, KernelError> {
    MapInfo::from_pin(directory.pin(name)).map_err(KernelError::map("cannot open", name))
}

/// The loader takes a pinned map as it is: that it fits has to be made sure here.
fn compare(
    path: &Path,
    found: &MapInfo,
    asked: &aya_obj::Map,
    sizes: &Sizes,
    name: &str,
) -> Result<(), KernelError> {
    let sized = sizes.by_name().into_iter().any(|(sized, _)| sized == name);
    let found_type = found.map_type().map_or(0, |map_type| map_type as u32);
    let pairs = [
        ("type", found_type, asked.map_type()),
        ("key size", found.key_size(), asked.key_size()),
        ("value size", found.value_size(), asked.value_size()),
        ("flags", found.map_flags(), asked.map_flags()),
        (
            "entries",
            found.max_entries(),
            if sized {
                found.max_entries()
            } else {
                asked.max_entries()
            },
        ),
    ];
    for (what, found, asked) in pairs {
        if found != asked {
            let difference = format!("{what} {found} instead of {asked}");
            return Err(KernelError::Differs {
                path: path.to_owned(),
                difference,
            });
        }
    }
    Ok(())
}

/// The maps that outlive the daemon: all but the constants of the object and what belongs to one program.
fn pinned_maps(object: &Object) -> impl Iterator<Item = (&str, &aya_obj::Map)> {
    object
        .maps
        .iter()
        .map(|(name, map)| (name.as_str(), map))
        .filter(|(name, _)| !name.starts_with('.') && !is_private(name))
}

/// The bench's object over the maps of a data path, none of its programs loaded yet.
pub(super) fn load_bench(path: &DataPath) -> Result<Ebpf, KernelError> {
    let object = Object::parse(BENCH).map_err(|error| KernelError::Object(Box::new(error)))?;
    let (config, sizes) = (running_config(path)?, Sizes::of_pinned(&path.directory)?);
    make(
        BENCH,
        &config,
        sizes,
        Some((&path.directory, &object)),
        Instrumentation {
            tracing: false,
            log: 0,
        },
    )
}

/// The settings of a data path.
fn running_config(path: &DataPath) -> Result<Config, KernelError> {
    let config = path.maps.config.read(0);
    config.ok_or(KernelError::Missing(abi::CONFIG))
}

/// The object over the maps of a data path, none of its programs loaded yet: they record packets.
pub(super) fn make_tracing(path: &DataPath) -> Result<Ebpf, KernelError> {
    let object = Object::parse(OBJECT).map_err(|error| KernelError::Object(Box::new(error)))?;
    let (config, sizes) = (running_config(path)?, Sizes::of_pinned(&path.directory)?);
    let pins = Some((&path.directory, &object));
    let instrumentation = Instrumentation {
        tracing: true,
        log: path.log,
    };
    make(OBJECT, &config, sizes, pins, instrumentation)
}

/// Makes an object's maps, or opens the pinned ones, and loads its programs, except those that handle packets; those
/// for sockets on the director if they are wanted.
fn load(
    bytes: &[u8],
    config: &Config,
    sizes: Sizes,
    pins: Option<(&Directory, &Object)>,
    local_clients: bool,
    instrumentation: Instrumentation,
) -> Result<Ebpf, KernelError> {
    let mut ebpf = make(bytes, config, sizes, pins, instrumentation)?;
    load_programs(&mut ebpf, |name, program| match program {
        // Loaded when they are attached: a kernel that does not take them loses a count only.
        Program::RawTracePoint(_) => false,
        Program::CgroupSockAddr(_) => local_clients,
        _ => !WayIn::handles_packets(name),
    })?;
    Ok(ebpf)
}

pub(super) fn make(
    bytes: &[u8],
    config: &Config,
    sizes: Sizes,
    pins: Option<(&Directory, &Object)>,
    Instrumentation { tracing, log }: Instrumentation,
) -> Result<Ebpf, KernelError> {
    let trace = Wire(trace::offsets().unwrap_or_else(|error| {
        debug!("lost frames cannot be counted: {error}");
        TraceOffsets::new_zeroed()
    }));
    // Without one no socket counts as the director's own.
    let namespace = namespace::cookie().unwrap_or_else(|error| {
        debug!("the network namespace has no cookie: {error}");
        u64::MAX
    });
    let records = u32::from(tracing);
    let long_indexes = u32::from(sizes.servers > SHORT_INDEXES);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("SECRETS", &config.secrets, true)
        .override_global("SETS4", &sizes.sets4, true)
        .override_global("SETS6", &sizes.sets6, true)
        .override_global("LONG_INDEXES", &long_indexes, true)
        .override_global("TRACING", &records, true)
        .override_global(aya_log::LEVEL, &log, true)
        .override_global("OPTIONS", &config.options, true)
        .override_global("ICMP_RATE", &config.icmp_rate, true)
        .override_global("TRACE", &trace, false)
        .override_global("NAMESPACE", &namespace, false);
    let smallest = u32::try_from(page_size()).unwrap_or(4096);
    if !tracing {
        loader.map_max_entries(abi::PACKET_RECORDS, smallest);
    }
    if log == 0 {
        loader.map_max_entries(abi::PROGRAM_LOG, smallest);
    }
    for (name, entries) in sizes.by_name() {
        loader.map_max_entries(name, entries);
    }
    if let Some((directory, object)) = pins {
        for (name, _) in pinned_maps(object) {
            loader.map_pin_path(name, directory.pin(name));
        }
    }
    loader
        .load(bytes)
        .map_err(|error| KernelError::Load(Box::new(error)))
}

/// Settings of a new data path.
pub(super) fn new_config() -> Result<Config, KernelError> {
    let mut random = [0; 128];
    getrandom::fill(&mut random).map_err(KernelError::Random)?;
    let mut secrets = [0; 16];
    for (secret, bytes) in secrets.iter_mut().zip(random.chunks_exact(8)) {
        *secret = bytes
            .iter()
            .fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
    }
    let mut timeouts = [0; 48];
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        for (state, &seconds) in (0..).zip(&protocol.default_timeouts()) {
            timeouts[Config::timeout_index(protocol, state)] = abi::ticks(seconds);
        }
    }
    Ok(Config {
        abi: ABI_VERSION,
        ready: 0,
        secrets,
        timeouts,
        options: 0,
        icmp_rate: 0,
        sync: Sync::default(),
        own_count: 0,
        probing: 0,
        keyed_marks: 0,
        mark_rules: 0,
        ftp_services: 0,
        common_checks: 0,
        route_generation: 0,
        interface_flags: 0,
        crowds: Default::default(),
        own: [0; abi::OWN_ADDRESSES],
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
