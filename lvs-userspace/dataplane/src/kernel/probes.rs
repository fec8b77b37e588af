//! Routes of the probes on the service path.

use aya::maps::{HashMap, Map, MapData, MapError};
use lvs_common::abi::{self, ProbeKey, ProbeRoute};
use parking_lot::{Mutex, MutexGuard};
use tracing::debug;

use super::error::KernelError;
use super::wire::Wire;

/// `BPF_NOEXIST` of `linux/bpf.h`.
const NOT_THERE_YET: u64 = 1;

/// The routes of the probes.
pub struct Probes(Mutex<Routes>);

type Routes = HashMap<MapData, Wire<ProbeKey>, Wire<ProbeRoute>>;

impl Probes {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let mut routes: Routes =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::PROBES))?;
        // Probes of an earlier daemon ended with it.
        let left: Vec<_> = routes.keys().filter_map(Result::ok).collect();
        for key in left {
            routes
                .remove(&key)
                .map_err(KernelError::map("cannot write", abi::PROBES))?;
        }
        Ok(Self(Mutex::new(routes)))
    }

    /// Routes packets with this key this way and back; false if there is a probe with this key.
    pub fn insert(&self, key: ProbeKey, route: ProbeRoute) -> Result<bool, KernelError> {
        match self.routes().insert(Wire(key), Wire(route), NOT_THERE_YET) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                Ok(false)
            }
            Err(error) => Err(KernelError::map("cannot write", abi::PROBES)(error)),
        }
    }

    /// Ends a probe.
    pub fn remove(&self, key: ProbeKey) {
        if let Err(error) = self.routes().remove(&Wire(key)) {
            debug!("cannot remove a probe: {error}");
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.0.lock()
    }
}
