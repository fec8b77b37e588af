//! The programs that count the frames that nobody sent, at the kernel's tracepoints of XDP and of dropped socket
//! buffers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::{fs, io};

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::RawTracePoint;
use lvs_common::abi::{self, LostKey, TRACE_PROGRAMS, TraceOffsets};
use parking_lot::Mutex;
use tracing::{debug, warn};

use super::attach::link::pin_link;
use super::bpffs::{Directory, TRACE_LINK};
use super::btf::Btf;
use super::error::{KernelError, load_error, program_error};
use super::unexplained::{Packets, Unexplained, read_dropped};
use super::wire::Wire;

/// The kernel's enumeration of the reasons for dropping a socket buffer.
const REASONS: &str = "skb_drop_reason";
/// The beginning of their names.
const REASON: &str = "SKB_DROP_REASON_";
/// The reason that says nothing.
const UNSPECIFIED: &str = "NOT_SPECIFIED";

/// Frames that were lost after a program handed them over.
pub struct LostFrames {
    map: Mutex<HashMap<MapData, Wire<LostKey>, u64>>,
    /// [`LostKey::error`] where the kernel named no reason.
    unspecified: u32,
    unexplained: Mutex<Unexplained>,
}

impl LostFrames {
    pub(super) fn take(map: Map) -> Result<Self, KernelError> {
        let map =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::LOST_FRAMES))?;
        let lost = Self {
            map: Mutex::new(map),
            unspecified: unspecified().unwrap_or(0) | LostKey::BUFFER,
            unexplained: Mutex::default(),
        };
        let (freed, confirmed) = (lost.freed(), lost.confirmed());
        *lost.unexplained.lock() = Unexplained::since(freed, read_dropped(), confirmed);
        Ok(lost)
    }

    /// All that were counted since the data path was made, by interface and [`LostKey::error`], but those of
    /// [`Self::tried`].
    pub fn read(&self) -> BTreeMap<(u32, u32), u64> {
        self.confirm_freed();
        let mut all = self.of(0);
        all.retain(|&(_, error), _| error != self.unspecified);
        all
    }

    /// Frames of the daemon's own, likewise.
    pub fn tried(&self) -> BTreeMap<(u32, u32), u64> {
        self.of(LostKey::TRIED)
    }

    /// Those among [`Self::read`] that the program did not count as not sent.
    pub fn unexplained(&self) -> u64 {
        self.confirm_freed();
        self.confirmed().values().sum()
    }

    /// Counts as lost what the kernel freed without a reason and the interfaces did not send.
    fn confirm_freed(&self) {
        let mut unexplained = self.unexplained.lock();
        let freed = self.freed();
        if !unexplained.has_more(&freed) {
            return;
        }
        let confirmed = self.confirmed();
        for (interface, frames) in unexplained.lost(&freed, &read_dropped()) {
            if confirmed.get(&interface).copied().unwrap_or(0) < frames {
                self.confirm(interface, frames);
            }
        }
    }

    fn confirm(&self, interface: u32, frames: u64) {
        let error = self.unspecified | LostKey::CONFIRMED;
        let mut map = self.map.lock();
        if let Err(error) = map.insert(Wire(LostKey { interface, error }), frames, 0) {
            debug!("lost frames are not counted: {error}");
        }
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

fn unspecified() -> Option<u32> {
    let name = format!("{REASON}{UNSPECIFIED}");
    let found = drop_reasons().iter().find(|(_, other)| **other == name);
    found.map(|(&number, _)| number)
}

/// Where the programs find what they ask for in this kernel.
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
        unspecified: unspecified().unwrap_or(u32::MAX),
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
