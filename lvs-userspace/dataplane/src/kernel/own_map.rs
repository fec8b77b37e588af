//! Maps of the daemon's own.

use aya::Pod;
use aya::maps::{Array, MapData};

use super::bpffs::Directory;
use super::error::KernelError;

/// `BPF_F_MMAPABLE` of `linux/bpf.h`.
const MMAPABLE: u32 = 1 << 10;

/// A map of the daemon's own, pinned beside the program's.
pub(super) fn own_map<V: Pod>(
    directory: &Directory,
    name: &str,
    entries: u32,
) -> Result<MapData, KernelError> {
    let path = directory.pin(name);
    if !path.exists() {
        let map = Array::<MapData, V>::create(entries, MMAPABLE)
            .map_err(KernelError::map("cannot make", name))?;
        map.pin(&path).map_err(|source| KernelError::Pin {
            what: "cannot pin",
            path: path.clone(),
            source: Box::new(source),
        })?;
    }
    MapData::from_pin(&path).map_err(KernelError::map("cannot open", name))
}
