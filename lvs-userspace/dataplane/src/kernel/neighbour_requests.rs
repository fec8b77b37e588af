//! Neighbours that the program asks for.

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, HostAddress};
use parking_lot::Mutex;
use tracing::debug;

use super::error::KernelError;
use super::wire::Wire;

/// The neighbours that replies need and the kernel does not know.
pub struct NeighbourRequests(Mutex<HashMap<MapData, Wire<HostAddress>, u32>>);

impl NeighbourRequests {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let map = HashMap::try_from(map);
        let map = map.map_err(KernelError::map("cannot use", abi::NEIGHBOUR_REQUESTS))?;
        Ok(Self(Mutex::new(map)))
    }

    /// Takes all of them out.
    pub fn drain(&self) -> Vec<HostAddress> {
        let mut map = self.0.lock();
        let requested: Vec<_> = map.keys().filter_map(Result::ok).collect();
        for key in &requested {
            // The program may have replaced it meanwhile.
            if let Err(error) = map.remove(key) {
                debug!("cannot remove a request for a neighbour: {error}");
            }
        }
        requested.into_iter().map(|Wire(host)| host).collect()
    }
}
