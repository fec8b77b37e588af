//! The hops in force, by address of the real servers.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_common::abi::Hop;
use tokio::sync::watch;
use tracing::{info, warn};
use zerocopy::{FromZeros as _, IntoBytes};

use super::allocator::{Allocator, MapKind};
use crate::followed::Followed;
use crate::interface_name::interface_name;
use crate::kernel::Maps;

/// Hop of addresses that cannot be reached.
fn dead_hop() -> Hop {
    Hop {
        flags: Hop::UNREACHABLE,
        ..Hop::new_zeroed()
    }
}

/// A hop stays in force this long after its address became unresolved: a neighbour that is asked
/// again, or a daemon that just started, costs no packet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Text of addresses that cannot be reached.
const UNREACHABLE: &str = "unreachable";

/// Text of the director's own addresses.
const LOCAL: &str = "the director itself";

/// Result of resolving an address.
#[derive(Clone, Debug)]
pub enum NextHop {
    /// The address is the director's own.
    Local,
    /// Packets go this way.
    Via {
        /// As the program needs it.
        hop: Hop,
        /// For people: interface and Ethernet address.
        text: String,
    },
    /// Packets cannot be sent there yet, and why.
    Unresolved(String),
    /// Packets cannot be sent there, and why: clients are told so.
    Unreachable(String),
}

/// A change of the hop in force of an address.
pub(super) struct Switch {
    /// Number of the new hop; 0: none.
    pub(super) number: u32,
    /// Number of the hop before; 0: none.
    pub(super) previous: u32,
    /// The address became the director's own, or is no longer.
    pub(super) local_changed: bool,
}

/// The hops in force, and the addresses that have to be resolved.
pub(super) struct NextHops {
    maps: Arc<Maps>,
    by_address: HashMap<IpAddr, InForce>,
    /// See [`Self::ways_out`]; none since a hop in force changed.
    ways_out: OnceCell<BTreeSet<u32>>,
    followed: watch::Sender<Followed>,
}

#[derive(Default)]
struct InForce {
    number: u32,
    local: bool,
    /// It is that of an address that cannot be reached.
    dead: bool,
    text: String,
    /// Start of the time without a resolution.
    unresolved: Option<Instant>,
    /// The cause is known: nobody waits for an answer any more.
    unreachable: bool,
}

impl NextHops {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            by_address: HashMap::new(),
            ways_out: OnceCell::new(),
            followed: watch::Sender::default(),
        }
    }

    /// Number of an address' hop; 0 if unresolved.
    pub(super) fn number(&self, address: IpAddr) -> u32 {
        self.by_address.get(&address).map_or(0, |hop| hop.number)
    }

    /// True if the address is the director's own.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        self.by_address.get(&address).is_some_and(|hop| hop.local)
    }

    /// For people.
    pub(super) fn text(&self, address: IpAddr) -> String {
        let hop = self.by_address.get(&address);
        hop.map_or_else(|| "unresolved".to_owned(), |hop| hop.text.clone())
    }

    /// The addresses that have to be resolved, whenever they change.
    pub(super) fn followed(&self) -> watch::Receiver<Followed> {
        self.followed.subscribe()
    }

    /// From now on exactly these addresses have to be resolved; they are in order.
    pub(super) fn follow<I: Iterator<Item = IpAddr>>(&self, addresses: impl Fn() -> I) {
        self.followed
            .send_if_modified(|followed| followed.set(addresses));
    }

    /// Has further addresses resolved. True if all of them are already.
    pub(super) fn expect(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        self.followed
            .send_if_modified(|followed| followed.extend(addresses));
        addresses.iter().all(|address| self.is_resolved(*address))
    }

    fn is_resolved(&self, address: IpAddr) -> bool {
        let hop = self.by_address.get(&address);
        hop.is_some_and(|hop| hop.number != 0 && !hop.dead)
    }

    /// Indices of the interfaces that the hops in force lead by, where an XDP program would send.
    pub(super) fn ways_out(&self) -> BTreeSet<u32> {
        let find = || {
            let hops = self.by_address.values();
            let hops = hops.filter(|hop| !hop.local && hop.number != 0);
            let interfaces =
                hops.filter_map(|hop| Some(self.maps.hops.read(hop.number)?.interface));
            // Many hops, few interfaces: a set that is collected would be sorted first.
            interfaces.fold(BTreeSet::new(), |mut set, interface| {
                set.insert(interface);
                set
            })
        };
        self.ways_out.get_or_init(find).clone()
    }

    /// Puts another hop of an address in force.
    fn switch(&mut self, address: IpAddr, number: u32, local: bool) -> Option<Switch> {
        self.ways_out.take();
        let known = self.by_address.get_mut(&address)?;
        Some(Switch {
            number,
            previous: std::mem::replace(&mut known.number, number),
            local_changed: std::mem::replace(&mut known.local, local) != local,
        })
    }

    /// Followed addresses without a hop.
    pub(super) fn unresolved(&self) -> Vec<IpAddr> {
        let followed = self.followed.borrow();
        let addresses = followed.addresses().iter();
        addresses
            .filter(|address| !self.is_resolved(**address))
            .copied()
            .collect()
    }

    /// Takes over the hop that a server refers to. Servers at one address share a hop.
    pub(super) fn adopt(&mut self, address: IpAddr, number: u32, allocator: &mut Allocator) {
        let Some(hop) = self.maps.hops.read(number).filter(|_| number != 0) else {
            return;
        };
        if self.by_address.contains_key(&address) || !allocator.reserve(MapKind::Hops, number, 1) {
            return;
        }
        let local = hop.flags & Hop::LOCAL != 0;
        let dead = hop.flags & Hop::UNREACHABLE != 0;
        let hop = InForce {
            number,
            local,
            dead,
            text: if local {
                LOCAL.to_owned()
            } else if dead {
                UNREACHABLE.to_owned()
            } else {
                describe(&hop)
            },
            unresolved: dead.then(Instant::now),
            unreachable: dead,
        };
        self.by_address.insert(address, hop);
        self.ways_out.take();
    }

    /// Writes the hop that an address was resolved to. Returns the change if it is another one than before:
    /// the servers' records have to be switched to it, and the one before retired.
    pub(super) fn resolve(
        &mut self,
        address: IpAddr,
        next: NextHop,
        allocator: &mut Allocator,
    ) -> Option<Switch> {
        let known = self.by_address.entry(address).or_default();
        let (hop, local, text) = match next {
            NextHop::Unresolved(reason) => {
                info!("{address} is unresolved: {reason}");
                known.text = format!("unresolved: {reason}");
                known.unresolved.get_or_insert_with(Instant::now);
                return None;
            }
            NextHop::Unreachable(reason) => {
                info!("{address} is unreachable: {reason}");
                known.text = format!("{UNREACHABLE}: {reason}");
                known.unresolved.get_or_insert_with(Instant::now);
                // Until an answer comes: the kernel asks again and again, and waits each time.
                known.unreachable = true;
                // One that is in force gets the time that a moment's trouble may take.
                return if known.number == 0 {
                    self.kill(address, allocator)
                } else {
                    None
                };
            }
            NextHop::Local => (local_hop(), true, LOCAL.to_owned()),
            NextHop::Via { hop, text } => (hop, false, text),
        };
        known.unresolved = None;
        known.unreachable = false;
        known.text.clone_from(&text);
        let before = self
            .maps
            .hops
            .read(known.number)
            .filter(|_| known.number != 0);
        if before.is_some_and(|before| before.as_bytes() == hop.as_bytes()) {
            return None;
        }
        let Ok(number) = allocator.allocate(MapKind::Hops, 1) else {
            warn!("there is no room for the next hop of {address}");
            return None;
        };
        info!("packets to {address} go to {text}");
        self.maps.hops.write(number, hop);
        known.dead = false;
        self.switch(address, number, local)
    }

    /// Leaves an address without a hop.
    pub(super) fn clear(&mut self, address: IpAddr) -> Option<Switch> {
        let known = self.by_address.get_mut(&address)?;
        known.dead = false;
        self.switch(address, 0, false)
    }

    /// Takes the hop of an unresolved address out of force. If it is known to be out of reach, its packets are
    /// answered from now on, otherwise dropped.
    pub(super) fn withdraw(
        &mut self,
        address: IpAddr,
        allocator: &mut Allocator,
    ) -> Option<Switch> {
        let unreachable = self
            .by_address
            .get(&address)
            .is_some_and(|hop| hop.unreachable);
        if unreachable {
            return self.kill(address, allocator);
        }
        warn!("{address} stays unresolved, its packets are dropped from now on");
        self.clear(address)
    }

    /// Has packets to an address answered: it cannot be reached.
    fn kill(&mut self, address: IpAddr, allocator: &mut Allocator) -> Option<Switch> {
        let known = self.by_address.get_mut(&address)?;
        let Ok(number) = allocator.allocate(MapKind::Hops, 1) else {
            warn!("there is no room for the next hop of {address}");
            return None;
        };
        warn!("{address} cannot be reached, its clients are told so from now on");
        self.maps.hops.write(number, dead_hop());
        known.dead = true;
        self.switch(address, number, false)
    }

    /// Addresses that have been unresolved for so long that their hops are in force no longer.
    pub(super) fn lost(&self) -> Vec<IpAddr> {
        let lost = self.by_address.iter().filter(|(_, hop)| {
            let unanswered = hop.number == 0 && hop.unreachable;
            (hop.number != 0 && !hop.dead || unanswered)
                && hop
                    .unresolved
                    .is_some_and(|since| since.elapsed() > PATIENCE)
        });
        lost.map(|(&address, _)| address).collect()
    }

    /// Addresses that are neither followed nor any server's.
    pub(super) fn unused(&self, servers: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
        let followed = self.followed.borrow();
        let followed = followed.addresses();
        if self.by_address.len() <= followed.len() {
            return Vec::new();
        }
        let used: HashSet<IpAddr> = followed.iter().copied().chain(servers).collect();
        self.by_address
            .keys()
            .filter(|address| !used.contains(address))
            .copied()
            .collect()
    }

    /// Drops an address that is not used any more.
    pub(super) fn forget(&mut self, address: IpAddr) {
        self.by_address.remove(&address);
        self.ways_out.take();
    }
}

fn local_hop() -> Hop {
    Hop {
        mtu: u16::MAX,
        flags: Hop::LOCAL,
        ..Hop::new_zeroed()
    }
}

/// A hop for people.
fn describe(hop: &Hop) -> String {
    let name =
        interface_name(hop.interface).unwrap_or_else(|| format!("interface {}", hop.interface));
    let mac = hop.ethernet.destination();
    format!("{name} {}", mac.map(|byte| format!("{byte:02x}")).join(":"))
}
