//! The servers that lblc and lblcr remember of destinations, for the director to have them forget.

use std::collections::BTreeSet;

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, Locality, LocalityKey};
use lvs_common::scheduler::NO_SERVER;
use parking_lot::Mutex;
use tracing::warn;

use super::error::KernelError;
use super::wire::Wire;

/// The servers by service and destination.
pub struct Localities(Mutex<Destinations>);

type Destinations = HashMap<MapData, Wire<LocalityKey>, Wire<Locality>>;

impl Localities {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let map = HashMap::try_from(map);
        let map = map.map_err(KernelError::map("cannot use", abi::LOCALITIES))?;
        Ok(Self(Mutex::new(map)))
    }

    /// Forgets a service's destinations; `only`: it has this one alone.
    pub fn forget_service(&self, service: u32, only: Option<u32>) {
        let mut map = self.0.lock();
        for key in keys(&map, service, only) {
            if map.get(&key, 0).is_ok()
                && let Err(error) = map.remove(&key)
            {
                warn!("a scheduler remembers servers of an earlier service: {error}");
            }
        }
    }

    /// Forgets servers of these destinations: their indexes may become others'. A server that a packet adds at the same
    /// moment may be forgotten, too, and is chosen anew.
    pub fn forget_servers(&self, service: u32, only: Option<u32>, servers: &BTreeSet<u32>) {
        let mut map = self.0.lock();
        for key in keys(&map, service, only) {
            let Ok(Wire(mut locality)) = map.get(&key, 0) else {
                continue;
            };
            let places = locality.servers.iter_mut();
            let mut places = places.filter(|place| servers.contains(place)).peekable();
            if places.peek().is_none() {
                continue;
            }
            places.for_each(|place| *place = NO_SERVER);
            if let Err(error) = map.insert(key, Wire(locality), 0) {
                warn!("a scheduler remembers a server that is gone: {error}");
            }
        }
    }
}

/// The keys of a service's destinations.
fn keys(map: &Destinations, service: u32, only: Option<u32>) -> Vec<Wire<LocalityKey>> {
    if let Some(destination) = only {
        let key = LocalityKey {
            service,
            destination,
        };
        return vec![Wire(key)];
    }
    let all = map.keys().filter_map(Result::ok);
    all.filter(|Wire(key)| key.service == service).collect()
}
