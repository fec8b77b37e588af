//! The programs that count the frames that nobody sent, at the kernel's tracepoints of XDP and of dropped socket
//! buffers.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::time::Instant;
use std::{fs, io};

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::RawTracePoint;
use lvs_common::abi::{self, LostKey, TRACE_PROGRAMS, TraceOffsets};
use parking_lot::Mutex;
use tracing::{debug, warn};

use super::bpffs::{Directory, TRACE_LINK};
use super::btf::Btf;
use super::error::{KernelError, load_error, program_error};
use super::gone_interfaces::GoneInterfaces;
use super::pinned_link::pin_link;
use super::unexplained::{Packets, Unexplained, read_dropped};
use super::wire::Wire;

/// The kernel's enumeration of the reasons for dropping a socket buffer.
const REASONS: &str = "skb_drop_reason";
/// The beginning of their names.
const REASON: &str = "SKB_DROP_REASON_";
/// The reason that says nothing.
const UNSPECIFIED: &str = "NOT_SPECIFIED";
/// The reason for dropping a copy for a packet socket.
const TAP: &str = "PACKET_SOCK_ERROR";

/// The tracepoint of socket buffers that are dropped.
const DROPPED_BUFFERS: &str = "kfree_skb";

/// Interface for whom is kept what was found lost of those that are gone.
const GONE: u32 = 0;

/// Frames that were lost after a program handed them over.
pub struct LostFrames {
    map: Mutex<HashMap<MapData, Wire<LostKey>, u64>>,
    /// [`LostKey::error`] where the kernel named no reason.
    unspecified: u32,
    followed: Mutex<Followed>,
}

/// The state of [`LostFrames::follow`] between two looks.
#[derive(Default)]
struct Followed {
    unexplained: Unexplained,
    gone: GoneInterfaces,
}

impl LostFrames {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let map =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::LOST_FRAMES))?;
        let lost = Self {
            map: Mutex::new(map),
            unspecified: reason(UNSPECIFIED).unwrap_or(0) | LostKey::BUFFER,
            followed: Mutex::default(),
        };
        let dropped = read_dropped();
        lost.followed.lock().unexplained = Unexplained::since(lost.freed(), dropped);
        Ok(lost)
    }

    /// All that were counted since the data path was made, by interface and [`LostKey::error`], but those of
    /// [`Self::tried`]. Interfaces that are gone are not among them for long.
    pub fn read(&self) -> BTreeMap<(u32, u32), u64> {
        let mut all = self.of(0);
        all.retain(|&(interface, error), _| interface != GONE && error != self.unspecified);
        all
    }

    /// Frames of the daemon's own, likewise.
    pub fn tried(&self) -> BTreeMap<(u32, u32), u64> {
        self.of(LostKey::TRIED)
    }

    /// Those that the program did not count as not sent, also of interfaces that are gone.
    pub fn unexplained(&self) -> u64 {
        self.confirmed().values().sum()
    }

    /// Counts as lost what the kernel freed without a reason while its interface did not send as many, and makes room
    /// where interfaces are gone. Waits for the kernel; whoever calls it, every second, holds no lock that others
    /// wait for.
    pub fn follow(&self, now: Instant) {
        let mut followed = self.followed.lock();
        // Nothing is concluded from what could not be read.
        let Some(dropped) = read_dropped() else {
            return;
        };
        let counted = self.interfaces();
        let is_there = |index| index == GONE || dropped.contains_key(&index);
        let gone = followed.gone.update(counted.into_iter(), is_there, now);
        let newly = followed.unexplained.lost(self.freed(), dropped);
        let mut confirmed = self.confirmed();
        for (interface, frames) in newly {
            let sum = confirmed.entry(interface).or_default();
            *sum += frames;
            self.confirm(interface, *sum);
        }
        if !gone.is_empty() {
            let of_gone = gone.iter().filter_map(|interface| confirmed.get(interface));
            let of_gone: u64 = of_gone.sum();
            if of_gone != 0 {
                self.confirm(GONE, confirmed.get(&GONE).copied().unwrap_or(0) + of_gone);
            }
            self.remove(&gone);
        }
    }

    fn confirm(&self, interface: u32, frames: u64) {
        let error = self.unspecified | LostKey::CONFIRMED;
        let mut map = self.map.lock();
        if let Err(error) = map.insert(Wire(LostKey { interface, error }), frames, 0) {
            debug!("lost frames are not counted: {error}");
        }
    }

    /// Takes these interfaces out of the map.
    fn remove(&self, interfaces: &BTreeSet<u32>) {
        let mut map = self.map.lock();
        let of_them =
            |key: &Wire<LostKey>| interfaces.contains(&(key.0.interface & !LostKey::TRIED));
        let keys: Vec<_> = map.keys().filter_map(Result::ok).filter(of_them).collect();
        for key in keys {
            if let Err(error) = map.remove(&key) {
                debug!("lost frames of an interface that is gone stay counted: {error}");
            }
        }
    }

    /// Interfaces that the map has.
    fn interfaces(&self) -> BTreeSet<u32> {
        let map = self.map.lock();
        map.keys()
            .filter_map(Result::ok)
            .map(|Wire(key)| key.interface & !LostKey::TRIED)
            .collect()
    }

    /// Socket buffers that were freed without a reason: perhaps not lost, but sent.
    fn freed(&self) -> Packets {
        self.with_error(self.unspecified)
    }

    /// Those of them that were lost.
    fn confirmed(&self) -> Packets {
        self.with_error(self.unspecified | LostKey::CONFIRMED)
    }

    fn with_error(&self, wanted: u32) -> Packets {
        let all = self.of(0).into_iter();
        all.filter(|&((_, error), _)| error == wanted)
            .map(|((interface, _), frames)| (interface, frames))
            .collect()
    }

    fn of(&self, tried: u32) -> BTreeMap<(u32, u32), u64> {
        let map = self.map.lock();
        map.iter()
            .filter_map(Result::ok)
            .filter(|(Wire(key), _)| key.interface & LostKey::TRIED == tried)
            .map(|(Wire(key), frames)| ((key.interface & !LostKey::TRIED, key.error), frames))
            .collect()
    }
}

/// The name of a reason for dropping a socket buffer, without what all have in common; empty for none.
pub(crate) fn drop_reason(error: u32) -> &'static str {
    let number = error & !(LostKey::BUFFER | LostKey::CONFIRMED);
    let name = drop_reasons().get(&number).map_or("", |name| name);
    let name = name.strip_prefix(REASON).unwrap_or(name);
    if name == UNSPECIFIED { "" } else { name }
}

/// Those of this kernel, by number.
fn drop_reasons() -> &'static BTreeMap<u32, String> {
    static ALL: OnceLock<BTreeMap<u32, String>> = OnceLock::new();
    ALL.get_or_init(|| {
        Btf::of_kernel().map_or_else(|_| BTreeMap::new(), |btf| btf.enumerators(REASONS))
    })
}

/// The number of a reason, if this kernel has it.
fn reason(name: &str) -> Option<u32> {
    let name = format!("{REASON}{name}");
    let found = drop_reasons().iter().find(|(_, other)| **other == name);
    found.map(|(&number, _)| number)
}

/// The offsets at which the programs find what they ask for in this kernel.
pub(super) fn offsets() -> io::Result<TraceOffsets> {
    let btf = Btf::of_kernel()?;
    let offset = |structure, path: &[&str]| {
        let missing = || io::Error::other(format!("the kernel's {structure} has no {path:?}"));
        btf.offset(structure, path).ok_or_else(missing)
    };
    let own = fs::metadata("/proc/thread-self/ns/net")?.ino();
    Ok(TraceOffsets {
        interface: offset("net_device", &["ifindex"])?,
        namespace: offset("net_device", &["nd_net"])?,
        number: offset("net", &["ns", "inum"])?,
        own: u32::try_from(own).map_err(io::Error::other)?,
        mark: offset("sk_buff", &["tc_index"])?,
        device: offset("sk_buff", &["dev"])?,
        head: offset("sk_buff", &["head"])?,
        end: offset("sk_buff", &["end"])?,
        segments: offset("skb_shared_info", &["gso_segs"])?,
        unspecified: reason(UNSPECIFIED).unwrap_or(u32::MAX),
        tap: reason(TAP).unwrap_or(u32::MAX),
    })
}

/// Attaches the programs. False: everything works, but lost frames are not counted, or not all.
pub(super) fn attach(ebpf: &mut Ebpf, directory: &Directory) -> bool {
    let mut all = offsets().is_ok();
    for (name, tracepoint) in TRACE_PROGRAMS {
        if let Err(error) = attach_one(ebpf, directory, name, tracepoint) {
            warn!(
                "frames that the kernel does not send are not counted ({tracepoint}): {:#}",
                anyhow::Error::from(error)
            );
            all = false;
        }
    }
    all
}

/// Has socket buffers that are dropped be counted no more.
pub(super) fn detach_buffers(directory: &Directory) -> Result<(), KernelError> {
    directory.unpin(&format!("{TRACE_LINK}{DROPPED_BUFFERS}"))
}

fn attach_one(
    ebpf: &mut Ebpf,
    directory: &Directory,
    name: &'static str,
    tracepoint: &str,
) -> Result<(), KernelError> {
    let program = ebpf.program_mut(name).ok_or(KernelError::Missing(name))?;
    let program: &mut RawTracePoint = program.try_into().map_err(program_error("cannot use"))?;
    program.load().map_err(load_error)?;
    // Such a link keeps its program: an earlier version's goes, and for a moment nobody counts.
    let pin = format!("{TRACE_LINK}{tracepoint}");
    directory.unpin(&pin)?;
    let attached = program.attach(tracepoint);
    let link = attached
        .and_then(|link| program.take_link(link))
        .map_err(program_error("cannot attach"))?;
    pin_link(link, &directory.pin(&pin))
}
