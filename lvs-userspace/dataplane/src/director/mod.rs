//! The single writer of the tables: makes the maps say what the operator wants.
//!
//! Every edit goes the same way: [`wanted::after`] works out (and refuses, if need be) what the
//! service is to be, and `Director::place` or `Director::remove` makes the maps so. A packet sees the
//! service before or the service after, see [`lvs_common::abi`]. Dying between any two stores leaves
//! maps that [`adopt`] understands.

mod adopt;
mod configuration;
mod hops;
mod keys;
mod list;
mod marks;
mod orphans;
mod plan;
mod publish;
mod recognize;
mod room;
mod trash;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};

use lvs_common::abi::{self, Config};
use lvs_common::connection::{Protocol, tcp, udp};
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

pub use self::configuration::Configuration;
use self::hops::Hops;
pub use self::hops::NextHop;
use self::marks::Rules;
pub use self::orphans::{OnDown, Repeats};
pub use self::recognize::{Recognized, Unrecognized};
use self::room::Room;
use self::trash::Deleted;
use self::wanted::subject;
pub use self::wanted::{Wanted, after};
pub use self::wanted::{canonical_service, check_server, check_service, identity};
use crate::kernel::{Maps, ServiceKeys};
use crate::rates::Rates;
use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, Refusal, RefusalKind, Timeouts};

/// The tables, and what is known about them.
pub struct Director {
    maps: Arc<Maps>,
    keys: ServiceKeys,
    services: BTreeMap<u32, Service>,
    by_id: HashMap<ServiceId, u32>,
    servers: BTreeMap<u32, RealServer>,
    by_server: HashMap<(u32, SocketAddr), u32>,
    /// Repeated SYNs of each server at the last look.
    repeats: Vec<u32>,
    rules: Rules,
    room: Room,
    hops: Hops,
    rates: Rates,
    followed: watch::Sender<BTreeSet<IpAddr>>,
    /// Whoever wakes the clients of servers that are down.
    waker: Option<mpsc::Sender<u16>>,
    concern_is_stale: bool,
}

/// A service index that is taken.
struct Service {
    id: ServiceId,
    /// No longer configured, but connections still refer to its servers.
    deleted: bool,
    plan: u32,
    wanted: Wanted,
    /// Server index and last weight that was not 0 of each of the wanted servers.
    members: Vec<Placed>,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    server: u32,
    last_weight: u32,
}

/// A server index that is taken.
struct RealServer {
    service: u32,
    address: SocketAddr,
    deleted: Option<Deleted>,
    /// Its connections are not to wait for it.
    down: bool,
}

impl Director {
    /// Takes over the tables as they are.
    pub fn new(maps: Arc<Maps>, keys: ServiceKeys) -> Result<Self, crate::kernel::KernelError> {
        let mut director = Self {
            room: Room::new(&maps),
            maps,
            keys,
            rules: Rules::default(),
            services: BTreeMap::new(),
            by_id: HashMap::new(),
            servers: BTreeMap::new(),
            by_server: HashMap::new(),
            repeats: Vec::new(),
            hops: Hops::default(),
            rates: Rates::default(),
            followed: watch::Sender::new(BTreeSet::new()),
            waker: None,
            concern_is_stale: true,
        };
        director.adopt()?;
        director.lead_all()?;
        director.follow();
        Ok(director)
    }

    /// The addresses whose next hops have to be kept, whenever they change.
    pub fn followed(&self) -> watch::Receiver<BTreeSet<IpAddr>> {
        self.followed.subscribe()
    }

    /// The maps.
    pub const fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// Makes one change, whole or not at all.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::Flush => {
                let all: Vec<_> = self.live().map(|(_, service)| service.id).collect();
                for id in all {
                    self.remove(id)?;
                }
            }
            Edit::Zero { service } => return self.zero(service.as_ref()),
            Edit::SetTimeouts(timeouts) => return self.set_timeouts(*timeouts),
            Edit::Mark(rule) => return self.set_mark(rule),
            edit => {
                let Some(id) = subject(edit).map(canonical_service) else {
                    return Ok(());
                };
                let current = self.find(&id).map(|service| &service.wanted);
                match after(current, edit)? {
                    Some(wanted) => self.place(id, wanted)?,
                    None => self.remove(id)?,
                }
            }
        }
        self.follow();
        Ok(())
    }

    /// Makes changes of each of these services as one: a packet sees all of a service's changes or none,
    /// and one that is refused changes nothing of its service. The outcomes are in the services' order.
    pub fn apply_together<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceId, &'a [Edit])>,
    ) -> Vec<Result<(), Refusal>> {
        let outcomes = changes
            .into_iter()
            .map(|(id, edits)| {
                let id = canonical_service(&id);
                let mut wanted = self.wanted(&id).cloned();
                for edit in edits {
                    wanted = after(wanted.as_ref(), edit)?;
                }
                match wanted {
                    Some(wanted) => self.place(id, wanted),
                    None => self.remove(id),
                }
            })
            .collect();
        self.follow();
        outcomes
    }

    /// A configured service as it is wanted now.
    pub fn wanted(&self, id: &ServiceId) -> Option<&Wanted> {
        self.find(&canonical_service(id))
            .map(|service| &service.wanted)
    }

    /// Services that are configured, by index.
    fn live(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.services
            .iter()
            .map(|(&index, service)| (index, service))
            .filter(|(_, service)| !service.deleted)
    }

    /// A configured service.
    fn find(&self, id: &ServiceId) -> Option<&Service> {
        self.services
            .get(self.by_id.get(id)?)
            .filter(|service| !service.deleted)
    }

    /// Tells whoever resolves next hops which addresses matter now.
    fn follow(&self) {
        let servers = self
            .servers
            .values()
            .filter(|server| server.deleted.is_none());
        let addresses: BTreeSet<IpAddr> = servers.map(|server| server.address.ip()).collect();
        self.followed.send_if_modified(|followed| {
            let changed = *followed != addresses;
            if changed {
                *followed = addresses;
            }
            changed
        });
    }

    /// Starts the counters and rates of a service and its servers, or of all, at zero.
    fn zero(&mut self, service: Option<&ServiceId>) -> Result<(), Refusal> {
        let services: Vec<u32> = match service {
            None => self.live().map(|(index, _)| index).collect(),
            Some(id) => {
                let id = canonical_service(id);
                let index = self
                    .by_id
                    .get(&id)
                    .copied()
                    .filter(|_| self.find(&id).is_some());
                vec![index.ok_or_else(|| {
                    Refusal::new(
                        RefusalKind::NoSuchService,
                        "there is no such virtual service",
                    )
                })?]
            }
        };
        for index in services {
            self.maps.service_counters.zero(index);
            self.rates.forget_service(index);
            for member in self
                .services
                .get(&index)
                .into_iter()
                .flat_map(|service| &service.members)
            {
                self.maps.server_counters.zero(member.server);
                self.rates.forget_server(member.server);
            }
        }
        Ok(())
    }

    fn set_timeouts(&self, timeouts: Timeouts) -> Result<(), Refusal> {
        let Timeouts { tcp, tcp_fin, udp } = timeouts;
        if [tcp, tcp_fin, udp]
            .into_iter()
            .any(|seconds| seconds > wanted::LONGEST_SECONDS)
        {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                "a timeout is at most 2678400 seconds",
            ));
        }
        for (place, seconds) in TIMEOUTS.into_iter().zip([tcp, tcp_fin, udp]) {
            let offset = offset_of!(Config, timeouts) + place * size_of::<u32>();
            if let (Some(word), true) = (self.maps.config.word(0, offset), seconds > 0) {
                word.store(abi::ticks(seconds), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The timeouts in force.
    pub fn timeouts(&self) -> Timeouts {
        let config = self.maps.config.read(0);
        let seconds = |place| {
            let ticks = config.and_then(|config| config.timeouts.get::<usize>(place).copied());
            abi::seconds(ticks.unwrap_or(0))
        };
        let [tcp, tcp_fin, udp] = TIMEOUTS.map(seconds);
        Timeouts { tcp, tcp_fin, udp }
    }
}

/// Places of what `ipvsadm --set` sets: established, closing and UDP.
const TIMEOUTS: [usize; 3] = [
    Config::timeout_index(Protocol::Tcp, tcp::State::Established as u32),
    Config::timeout_index(Protocol::Tcp, tcp::State::FinWait as u32),
    Config::timeout_index(Protocol::Udp, udp::NORMAL as u32),
];
