//! The programs that count the frames that nobody sent, at the kernel's tracepoints of XDP.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::{fs, io};

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::RawTracePoint;
use lvs_common::abi::{self, LostKey, TRACE_PROGRAMS, TraceOffsets};
use parking_lot::Mutex;
use tracing::warn;

use super::attach::link::pin_link;
use super::bpffs::{Directory, TRACE_LINK};
use super::btf::Btf;
use super::error::{KernelError, load_error, program_error};
use super::wire::Wire;

/// Frames that were lost after an XDP program handed them over.
pub struct LostFrames(Mutex<HashMap<MapData, Wire<LostKey>, u64>>);

impl LostFrames {
    pub(super) fn take(map: Map) -> Result<Self, KernelError> {
        let map = HashMap::try_from(map);
        map.map(|map| Self(Mutex::new(map)))
            .map_err(KernelError::map("cannot use", abi::LOST_FRAMES))
    }

    /// All that were counted since the data path was made, by interface and error number, but those of
    /// [`Self::tried`].
    pub fn read(&self) -> BTreeMap<(u32, u32), u64> {
        self.of(0)
    }

    /// Frames of the daemon's own, likewise.
    pub fn tried(&self) -> BTreeMap<(u32, u32), u64> {
        self.of(LostKey::TRIED)
    }

    fn of(&self, tried: u32) -> BTreeMap<(u32, u32), u64> {
        let map = self.0.lock();
        map.iter()
            .filter_map(Result::ok)
            .filter(|(Wire(key), _)| key.interface & LostKey::TRIED == tried)
            .map(|(Wire(key), frames)| ((key.interface & !LostKey::TRIED, key.error), frames))
            .collect()
    }
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
