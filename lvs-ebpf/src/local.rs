//! Sockets on the director as `lvs_common::local_clients` asks about them.

#![allow(
    non_upper_case_globals,
    reason = "the statics are named as the maps are, which tools show"
)]

use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_ANY, bpf_sock_addr};
use aya_ebpf::helpers::generated::{
    bpf_get_netns_cookie, bpf_get_prandom_u32, bpf_get_socket_cookie, bpf_set_retval,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};
use aya_ebpf::programs::SockAddrContext;
use lvs_common::abi::{LocalFlow, LocalKey, MAX_LOCAL_CLIENTS, ServiceKey, Stats};
use lvs_common::family::{Family, V4, V6};
use lvs_common::local_clients::{self, Destination, LocalSearch, LocalTables};

use crate::tables::Kernel;
use crate::{atomic, maps};

/// The kernel's cookie of the director's network namespace, set before the programs are loaded.
#[unsafe(no_mangle)]
static NAMESPACE: u64 = u64::MAX;

#[map]
static local_flows: LruHashMap<LocalKey, LocalFlow> =
    LruHashMap::with_max_entries(MAX_LOCAL_CLIENTS, 0);

#[map]
static local_peers: LruHashMap<LocalKey, ServiceKey> =
    LruHashMap::with_max_entries(MAX_LOCAL_CLIENTS, 0);

#[map]
static local_searches: Array<SearchPlace> = Array::with_max_entries(SEARCH_PLACES, 0);

/// The call goes on.
const PROCEED: i32 = 1;
/// It fails.
const FAIL: i32 = 0;
/// `ECONNREFUSED` of `errno.h`: what a client elsewhere gets by an ICMP error.
const REFUSED: i32 = -111;

/// An address of a socket.
#[derive(Clone, Copy)]
pub(crate) struct Socket(*mut bpf_sock_addr);

/// Reads or writes a field of a socket's address by itself, as the verifier wants it.
macro_rules! field {
    ($socket:expr, $($field:tt)+) => {
        &raw mut (*$socket.0).$($field)+
    };
}

impl Socket {
    #[inline(always)]
    pub(crate) const fn new(context: &SockAddrContext) -> Self {
        Self(context.sock_addr)
    }

    /// The address and port, with the protocol. An IPv4 address in the form of an IPv6 one is IPv4's.
    #[inline(always)]
    fn read<F: Family>(self) -> ServiceKey {
        // SAFETY: fields of the context, each read whole.
        let (port, protocol) = unsafe {
            (
                ptr::read_volatile(field!(self, user_port)) as u16,
                ptr::read_volatile(field!(self, protocol)),
            )
        };
        // As double words: a program's stack has to be written aligned.
        let (words, family) = if F::NUMBER == V4::NUMBER {
            // SAFETY: as above.
            let address = unsafe { ptr::read_volatile(field!(self, user_ip4)) };
            ([u64::from(address), 0], V4::NUMBER)
        } else {
            // SAFETY: as above.
            let (first, second, third, fourth) = unsafe {
                (
                    ptr::read_volatile(field!(self, user_ip6[0])),
                    ptr::read_volatile(field!(self, user_ip6[1])),
                    ptr::read_volatile(field!(self, user_ip6[2])),
                    ptr::read_volatile(field!(self, user_ip6[3])),
                )
            };
            if first | second == 0 && third == MAPPED {
                ([u64::from(fourth), 0], V4::NUMBER)
            } else {
                ([pair(first, second), pair(third, fourth)], V6::NUMBER)
            }
        };
        ServiceKey {
            address: zerocopy::transmute!(words),
            port: zerocopy::transmute!(port),
            // Those above a byte are none of IP's.
            protocol: u8::try_from(protocol).unwrap_or(u8::MAX),
            family,
        }
    }

    /// Replaces address and port.
    #[inline(always)]
    fn write<F: Family>(self, to: &ServiceKey) {
        let port: u16 = zerocopy::transmute!(to.port);
        let words: [u32; 4] = zerocopy::transmute!(to.address);
        let mapped = to.family == V4::NUMBER;
        // SAFETY: fields of the context, each written whole.
        unsafe {
            ptr::write_volatile(field!(self, user_port), u32::from(port));
            if F::NUMBER == V4::NUMBER {
                ptr::write_volatile(field!(self, user_ip4), words[0]);
            } else if mapped {
                ptr::write_volatile(field!(self, user_ip6[0]), 0);
                ptr::write_volatile(field!(self, user_ip6[1]), 0);
                ptr::write_volatile(field!(self, user_ip6[2]), MAPPED);
                ptr::write_volatile(field!(self, user_ip6[3]), words[0]);
            } else {
                ptr::write_volatile(field!(self, user_ip6[0]), words[0]);
                ptr::write_volatile(field!(self, user_ip6[1]), words[1]);
                ptr::write_volatile(field!(self, user_ip6[2]), words[2]);
                ptr::write_volatile(field!(self, user_ip6[3]), words[3]);
            }
        }
    }

    /// The kernel's number of the socket, if it is one of the director's network namespace.
    #[inline(always)]
    fn cookie(self) -> Option<u64> {
        // SAFETY: a reference is always readable; volatile, because its value is set in the object.
        let own = unsafe { ptr::read_volatile(&raw const NAMESPACE) };
        // SAFETY: helpers that take the context.
        unsafe {
            let context = SockAddrContext::new(self.0);
            if bpf_get_netns_cookie(context.as_ptr()) != own {
                return None;
            }
            Some(bpf_get_socket_cookie(context.as_ptr()))
        }
    }
}

/// Two words as they lie behind each other.
#[inline(always)]
const fn pair(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

/// The third word of an IPv4 address in the form of an IPv6 one.
const MAPPED: u32 = 0xffff_u32.to_be();

/// Replaces the address that a socket connects to.
#[inline(always)]
pub(crate) fn connect<F: Family>(socket: Socket) -> i32 {
    let Some(cookie) = socket.cookie() else {
        return PROCEED;
    };
    let to = socket.read::<F>();
    follow::<F>(socket, local_clients::connect(Kernel, cookie, &to))
}

/// Replaces the address that a datagram is sent to.
#[inline(always)]
pub(crate) fn send<F: Family>(socket: Socket) -> i32 {
    let Some(cookie) = socket.cookie() else {
        return PROCEED;
    };
    let to = socket.read::<F>();
    follow::<F>(socket, local_clients::send(Kernel, cookie, &to))
}

#[inline(always)]
fn follow<F: Family>(socket: Socket, destination: Destination) -> i32 {
    match destination {
        Destination::Unchanged => PROCEED,
        Destination::Server(server) => {
            socket.write::<F>(&server);
            PROCEED
        }
        Destination::NoServer => {
            // SAFETY: a helper without pointers.
            unsafe { bpf_set_retval(REFUSED) };
            FAIL
        }
    }
}

/// Puts the virtual address in the place of a real server's.
#[inline(always)]
pub(crate) fn peer<F: Family>(socket: Socket) -> i32 {
    if let Some(cookie) = socket.cookie() {
        let from = socket.read::<F>();
        if let Some(service) = local_clients::peer(Kernel, cookie, &from) {
            socket.write::<F>(&service);
        }
    }
    PROCEED
}

/// Memory of a search. Programs for sockets can be preempted by others on the same CPU: they cannot use memory of the
/// CPU, but take one that is free.
#[repr(C, align(8))]
pub(crate) struct SearchPlace {
    /// 1: taken.
    taken: u32,
    search: LocalSearch,
}

/// Number of [`SearchPlace`]s, a power of two: more than there are searches under way at any time.
pub(crate) const SEARCH_PLACES: u32 = 1024;
/// Places that are tried.
const TRIES: u32 = 4;

/// Takes a place that is free.
#[inline(always)]
fn claim_place() -> Option<*mut SearchPlace> {
    let first = Kernel.random();
    let mut turn = 0;
    while turn < TRIES {
        let place = local_searches.get_ptr_mut(first.wrapping_add(turn) & (SEARCH_PLACES - 1))?;
        // SAFETY: an aligned word of a map value.
        if unsafe { atomic::compare_exchange(&raw mut (*place).taken, 0, 1) } {
            return Some(place);
        }
        turn += 1;
    }
    None
}

impl LocalTables for Kernel {
    #[inline(always)]
    fn with_search<R>(self, search: impl FnOnce(&mut LocalSearch) -> R) -> Option<R> {
        let place = claim_place()?;
        // SAFETY: a map value that is this program's alone until it is given back.
        let found = search(unsafe { &mut (*place).search });
        // SAFETY: an aligned word of a map value.
        unsafe { atomic::exchange(&raw mut (*place).taken, 0) };
        Some(found)
    }

    #[inline(always)]
    fn local_flow(self, key: &LocalKey) -> Option<LocalFlow> {
        // SAFETY: an element that is reused while it is read names another server, which is compared.
        unsafe { local_flows.get(key) }.copied()
    }

    #[inline(always)]
    fn set_local_flow(self, key: &LocalKey, flow: &LocalFlow) {
        // A table that cannot take it costs the next datagram a choice.
        let _ = local_flows.insert(key, flow, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn local_peer(self, key: &LocalKey) -> Option<ServiceKey> {
        // SAFETY: the element of a socket that asks is not the oldest.
        unsafe { local_peers.get(key) }.copied()
    }

    #[inline(always)]
    fn set_local_peer(self, key: &LocalKey, service: &ServiceKey) {
        // A table that cannot take it costs the socket the virtual address where it asks for its peer's.
        let _ = local_peers.insert(key, service, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn count_local(self, service: u32, server: u32) {
        // Packets may interrupt this program: unlike theirs, its additions are atomic.
        let add = |stats: Option<*mut Stats>| {
            if let Some(stats) = stats {
                // SAFETY: an aligned field of a map value.
                unsafe { atomic::add(&raw mut (*stats).connections, 1) };
            }
        };
        add(maps::service_stats.get_ptr_mut(service));
        add(maps::server_stats.get_ptr_mut(server));
    }

    #[inline(always)]
    fn random(self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() }
    }
}
