//! The kernel's routes in plain memory, which answer as `bpf_fib_lookup` does.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

use lvs_common::abi::{Address, Mac};
use lvs_common::routes::{Lookup, Routes};

use super::frames::{CLIENT, DIRECTOR, wide};
use super::memory::INTERFACE;

/// Where packets to some addresses go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The destination, of which so many bits count; its family counts anyway.
    pub(crate) to: IpAddr,
    pub(crate) bits: usize,
    /// A rule: only packets from this address go there.
    pub(crate) from: Option<IpAddr>,
    /// The code of the answer where no next hop is there.
    pub(crate) code: u32,
    /// Out by this interface,
    pub(crate) interface: u32,
    /// to this router, or to the destination itself,
    pub(crate) router: Option<IpAddr>,
    /// whose Ethernet address is this one, if it is known.
    pub(crate) neighbour: Option<Mac>,
}

impl Way {
    /// To one host, by an interface, in frames to this address.
    pub(crate) fn host(to: IpAddr, interface: u32, neighbour: Mac) -> Self {
        Self {
            to,
            bits: 128,
            from: None,
            code: Lookup::FOUND,
            interface,
            router: None,
            neighbour: Some(neighbour),
        }
    }

    /// To the host itself.
    pub(crate) fn local(to: IpAddr) -> Self {
        Self {
            code: Lookup::NOT_FORWARDED,
            ..Self::host(to, 1, CLIENT)
        }
    }
}

/// Routes. Where none fits, everything is reached by [`INTERFACE`] in frames to [`CLIENT`].
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    ways: Mutex<Vec<Way>>,
    /// Interfaces where nothing that comes by them is forwarded.
    forwarding_off: Mutex<Vec<u32>>,
    /// Lookups so far.
    lookups: AtomicU32,
}

impl RouteTable {
    /// Adds one, before all others.
    pub(crate) fn add(&self, way: Way) {
        self.ways().insert(0, way);
    }

    /// That of a packet which no director handles.
    pub(crate) fn none() -> &'static Self {
        static NONE: RouteTable = RouteTable {
            ways: Mutex::new(Vec::new()),
            forwarding_off: Mutex::new(Vec::new()),
            lookups: AtomicU32::new(0),
        };
        &NONE
    }

    /// Has nothing forwarded that comes by these interfaces.
    pub(crate) fn turn_off(&self, interfaces: &[u32]) {
        *self.forwarding_off.lock().expect("no panic while held") = interfaces.to_vec();
    }

    fn ways(&self) -> MutexGuard<'_, Vec<Way>> {
        self.ways.lock().expect("no panic while held")
    }

    /// Lookups since the last call.
    pub(crate) fn take_lookups(&self) -> u32 {
        self.lookups.swap(0, SeqCst)
    }

    fn find(&self, lookup: &Lookup) -> Option<Way> {
        let family = if lookup.family == 2 { 4 } else { 6 };
        self.ways().iter().copied().find(|way| {
            let same = family == if way.to.is_ipv4() { 4 } else { 6 };
            let from = way.from.is_none_or(|from| wide(from) == lookup.source);
            same && from && begins_alike(&wide(way.to), &lookup.destination, way.bits)
        })
    }
}

fn begins_alike(one: &Address, other: &Address, bits: usize) -> bool {
    let [one, other] = [one, other].map(|address| u128::from_be_bytes(*address));
    (one ^ other)
        .checked_shr(128 - u32::try_from(bits).expect("few"))
        .unwrap_or(0)
        == 0
}

impl Routes for &RouteTable {
    fn look_up(self, lookup: &mut Lookup, flags: u32) -> u32 {
        assert!(matches!(lookup.family, 2 | 10), "no address family");
        assert_eq!(lookup.length, 0, "the kernel would compare it with the MTU");
        self.lookups.fetch_add(1, SeqCst);
        let off = self.forwarding_off.lock().expect("no panic while held");
        if off.contains(&lookup.interface) {
            return Lookup::FORWARDING_OFF;
        }
        let all = Way::host(IpAddr::from([0; 4]), INTERFACE, CLIENT);
        let way = self.find(lookup).unwrap_or(all);
        if way.code != Lookup::FOUND {
            return way.code;
        }
        if flags & Lookup::OUTPUT == 0 {
            lookup.interface = way.interface;
        }
        if let Some(router) = way.router {
            lookup.family = if router.is_ipv4() { 2 } else { 10 };
            lookup.destination = wide(router);
        }
        let Some(neighbour) = way.neighbour else {
            return Lookup::NO_NEIGHBOUR;
        };
        lookup.own = DIRECTOR;
        lookup.neighbour = neighbour;
        Lookup::FOUND
    }
}
