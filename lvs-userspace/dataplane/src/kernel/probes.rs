//! The probes on the service path, as the programs know them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{HashMap, Map, MapData, MapError};
use aya::programs::{SchedClassifier, TcAttachType, tc};
use lvs_common::abi::{self, PROBE_PROGRAM, ProbeKey, ProbeRoute};
use tracing::debug;

use super::load::program_error;
use super::{DataPath, KernelError, Wire};

/// `BPF_NOEXIST` of `linux/bpf.h`.
const NOT_THERE_YET: u64 = 1;

/// The routes of the probes.
pub struct Probes(Mutex<Routes>);

type Routes = HashMap<MapData, Wire<ProbeKey>, Wire<ProbeRoute>>;

impl Probes {
    pub(super) fn take(map: Map) -> Result<Self, KernelError> {
        let mut routes: Routes =
            HashMap::try_from(map).map_err(KernelError::map("cannot use", abi::PROBES))?;
        // Those of an earlier daemon went with it.
        let left: Vec<_> = routes.keys().filter_map(Result::ok).collect();
        for key in left {
            routes
                .remove(&key)
                .map_err(KernelError::map("cannot write", abi::PROBES))?;
        }
        Ok(Self(Mutex::new(routes)))
    }

    /// From now on packets with this key go this way and back; false if there is a probe with this key.
    pub fn enter(&self, key: ProbeKey, route: ProbeRoute) -> Result<bool, KernelError> {
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

    /// The probe is over.
    pub fn forget(&self, key: ProbeKey) {
        if let Err(error) = self.routes().remove(&Wire(key)) {
            debug!("cannot forget a probe: {error}");
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataPath {
    /// Has the packets that come from the probes, by this interface, sent by their routes. It ends with
    /// the interface, or with this.
    pub fn send_probes(&mut self, interface: &str) -> Result<(), KernelError> {
        let program = self
            .ebpf
            .program_mut(PROBE_PROGRAM)
            .ok_or(KernelError::Missing(PROBE_PROGRAM))?;
        let program: &mut SchedClassifier =
            program.try_into().map_err(program_error("cannot use"))?;
        // Kernels before 6.6 need it; whether it was of use shows below.
        if let Err(error) = tc::qdisc_add_clsact(interface) {
            debug!("no clsact on {interface}: {error}");
        }
        program
            .attach(interface, TcAttachType::Ingress)
            .map_err(|source| KernelError::Attach {
                interface: interface.to_owned(),
                source: Box::new(source),
            })?;
        Ok(())
    }
}
