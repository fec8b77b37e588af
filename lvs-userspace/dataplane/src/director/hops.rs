//! Where packets to each real server go next.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem::offset_of;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lvs_common::abi::{Hop, Server};
use tracing::{info, warn};
use zerocopy::IntoBytes;

use super::Director;
use super::room::Of;

/// A hop stays in force this long after its address became unresolved: a neighbour that is asked
/// again, or a daemon that just started, costs no packet.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was found out about an address.
#[derive(Clone, Debug)]
pub enum NextHop {
    /// It is the director's own.
    Local,
    /// Packets go this way.
    Via {
        /// As the program needs it.
        hop: Hop,
        /// For people: interface and Ethernet address.
        text: String,
    },
    /// Why packets cannot be sent there.
    Unresolved(String),
}

/// The hops in force, by address of the real servers.
#[derive(Default)]
pub(super) struct Hops(pub(super) HashMap<IpAddr, Known>);

pub(super) struct Known {
    pub(super) number: u32,
    pub(super) local: bool,
    pub(super) text: String,
    pub(super) lost: Option<Instant>,
}

impl Hops {
    /// The hop's number; 0 if unresolved.
    pub(super) fn number(&self, address: &IpAddr) -> u32 {
        self.0.get(address).map_or(0, |known| known.number)
    }

    /// Whether the address is the director's own.
    pub(super) fn is_local(&self, address: &IpAddr) -> bool {
        self.0.get(address).is_some_and(|known| known.local)
    }

    /// For people.
    pub(super) fn text(&self, address: &IpAddr) -> String {
        self.0
            .get(address)
            .map_or_else(|| "unresolved".to_owned(), |known| known.text.clone())
    }
}

impl Director {
    /// Sends packets to a real server's address another way from now on.
    pub fn resolve(&mut self, address: IpAddr, next: NextHop) {
        let (hop, local, text) = match next {
            NextHop::Unresolved(reason) => {
                info!("{address} is unresolved: {reason}");
                let known = self.hops.0.entry(address).or_insert_with(Known::nothing);
                known.text = format!("unresolved: {reason}");
                known.lost.get_or_insert_with(Instant::now);
                return;
            }
            NextHop::Local => (local_hop(), true, "the director itself".to_owned()),
            NextHop::Via { hop, text } => (hop, false, text),
        };
        let known = self.hops.0.entry(address).or_insert_with(Known::nothing);
        known.lost = None;
        known.text.clone_from(&text);
        let before = (known.number, known.local);
        let same = before.0 != 0
            && self
                .maps
                .hops
                .read(before.0)
                .is_some_and(|found| found.as_bytes() == hop.as_bytes());
        if same {
            return;
        }
        let Some(number) = self.room.take(Of::Hops, 1) else {
            warn!("there is no room for the next hop of {address}");
            return;
        };
        info!("packets to {address} go to {text}");
        self.maps.hops.write(number, hop);
        self.set_hop(address, number, local);
        self.room
            .retire(Of::Hops, before.0, u32::from(before.0 != 0));
        if before.1 != local {
            self.rewrite_services_with(address);
        }
    }

    /// Has an address resolved that is about to become a real server's. True if it is already.
    pub fn expect(&self, address: IpAddr) -> bool {
        self.followed
            .send_if_modified(|followed| followed.insert(address));
        self.hops.number(&address) != 0
    }

    /// The same for many addresses. True if all of them are resolved already.
    pub fn expect_all(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        self.followed.send_if_modified(|followed| {
            let before = followed.len();
            followed.extend(addresses);
            followed.len() != before
        });
        let mut addresses = addresses.iter();
        addresses.all(|address| self.hops.number(address) != 0)
    }

    /// Stops sending to addresses that have been unresolved for a while; forgets those of no server.
    pub(super) fn give_up_lost_hops(&mut self) {
        let lost: Vec<IpAddr> = self
            .hops
            .0
            .iter()
            .filter(|(_, known)| {
                known.number != 0 && known.lost.is_some_and(|since| since.elapsed() > PATIENCE)
            })
            .map(|(&address, _)| address)
            .collect();
        for address in lost {
            warn!("{address} stays unresolved, its packets are dropped from now on");
            self.drop_hop(address);
        }
        if self.hops.0.len() > self.followed.borrow().len() {
            let mut used: HashSet<IpAddr> = self.followed.borrow().iter().copied().collect();
            used.extend(self.servers.values().map(|server| server.address.ip()));
            let unused: Vec<IpAddr> = self
                .hops
                .0
                .keys()
                .filter(|ip| !used.contains(ip))
                .copied()
                .collect();
            for address in unused {
                self.drop_hop(address);
                self.hops.0.remove(&address);
            }
        }
    }

    fn drop_hop(&mut self, address: IpAddr) {
        let number = self.hops.number(&address);
        let local = self.hops.is_local(&address);
        self.set_hop(address, 0, false);
        self.room.retire(Of::Hops, number, u32::from(number != 0));
        if local {
            self.rewrite_services_with(address);
        }
    }

    fn set_hop(&mut self, address: IpAddr, number: u32, local: bool) {
        if let Some(known) = self.hops.0.get_mut(&address) {
            known.number = number;
            known.local = local;
        }
        for (&index, _) in self
            .servers
            .iter()
            .filter(|(_, server)| server.address.ip() == address)
        {
            if let Some(word) = self.maps.servers.word(index, offset_of!(Server, hop)) {
                word.store(number, Ordering::Release);
            }
        }
    }

    /// The method in a plan depends on whether the address is the director's own.
    fn rewrite_services_with(&mut self, address: IpAddr) {
        let concerned: Vec<_> = self
            .live()
            .filter(|(_, service)| {
                service
                    .wanted
                    .servers
                    .iter()
                    .any(|(id, _)| id.address() == address)
            })
            .map(|(_, service)| (service.id, service.wanted.clone()))
            .collect();
        for (id, wanted) in concerned {
            if let Err(refusal) = self.place(id, wanted) {
                warn!(
                    "{id:?} keeps its old forwarding methods: {}",
                    refusal.message
                );
            }
        }
    }
}

impl Known {
    fn nothing() -> Self {
        Self {
            number: 0,
            local: false,
            text: String::new(),
            lost: None,
        }
    }
}

fn local_hop() -> Hop {
    Hop {
        destination: [0; 6],
        source: [0; 6],
        vlan: 0.into(),
        mtu: u16::MAX,
        interface: 0,
        source4: [0; 4],
        source6: [0; 16],
        flags: Hop::LOCAL,
        reserved: [0; 20],
    }
}
