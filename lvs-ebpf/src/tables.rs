//! The maps as [`Tables`].

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::{BPF_ANY, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::maps::{Array, PerCpuArray};
use lvs_common::abi::{
    ADDR_FILTER_WORDS, CLIENT_SETS, Call, CallNumber, CallScratch, Config, Crowd, Filter,
    FilterNode, FragmentKey, Hop, HostAddress, Interface, Load, Locality, LocalityKey, MarkRule,
    Marked, Member, Plan, ProbeKey, ProbeRoute, Server, ServiceKey, SourcePool, Stats, UpperKey,
};
use lvs_common::connection::table::Store;
use lvs_common::connection::{EntryId, Loads, Ports, Servers};
use lvs_common::diagnosis::Finding;
use lvs_common::family::{V4, V6};
use lvs_common::filter::clients::Clients;
use lvs_common::scheduler::tree_marks::{TreeMarks, load_changed};
use lvs_common::secrets::Secrets;
use lvs_common::tables::{Tables, Traffic};
use lvs_common::walk::{Step, Walk};

use crate::clients::ClientSetPointer;
use crate::ways::SetPointer;
use crate::{atomic, clock, maps, program_log, verifier};

/// Constants that the loader sets before the program is verified, so that they cost nothing. The
/// values here only keep them out of the section of zeroes.
#[unsafe(no_mangle)]
static SECRETS: [u64; 16] = [1; 16];
/// Number of sets of the IPv4 connection table.
#[unsafe(no_mangle)]
static SETS4: u32 = 65_536;
/// Number of sets of the IPv6 connection table.
#[unsafe(no_mangle)]
static SETS6: u32 = 16_384;
/// Options of `lvs_common::abi::Config`.
#[unsafe(no_mangle)]
static OPTIONS: u32 = u32::MAX;
/// Not 0: connections have long indexes of their servers, see `lvs_common::connection::Record`.
#[unsafe(no_mangle)]
static LONG_INDEXES: u32 = 1;
/// ICMP errors per second and CPU.
#[unsafe(no_mangle)]
static ICMP_RATE: u32 = 1_000;

#[inline(always)]
pub(crate) fn constant<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is always readable. Volatile, because the loader changes the value after
    // the compiler saw it.
    unsafe { ptr::read_volatile(value) }
}

/// A copy of an array's element.
#[inline(always)]
fn copy<T: Copy>(array: &Array<T>, index: u32) -> Option<T> {
    array.get(index).copied()
}

/// All tables of the data path.
#[derive(Clone, Copy)]
pub(crate) struct Kernel;

impl Kernel {
    /// Counts a verdict on so many packets.
    #[inline(always)]
    pub(crate) fn count(verdict: u32, packets: u32) {
        if let Some(counter) = maps::verdicts.get_ptr_mut(verdict) {
            // SAFETY: this CPU's own element; the program is not interrupted by itself.
            unsafe { *counter += u64::from(packets) };
        }
    }
}

impl Secrets for Kernel {
    #[inline(always)]
    fn secret(self, index: usize) -> u64 {
        SECRETS.get(index).map_or(0, constant)
    }
}

impl Servers for Kernel {
    #[inline(always)]
    fn has_long_indexes(self) -> bool {
        constant(&LONG_INDEXES) != 0
    }

    #[inline(always)]
    fn service_of_server(self, server: u32) -> u32 {
        maps::servers
            .get(server)
            .map_or(Marked::NO_SERVICE, |server| server.service)
    }
}

impl Loads for Kernel {
    #[inline(always)]
    fn account(self, server: u32, change: u64) {
        if let Some(load) = maps::loads.get_ptr_mut(server) {
            // SAFETY: aligned fields of a map value, of which only the daemon changes the last two.
            unsafe {
                let root = ptr::read_volatile(&raw const (*load).tree);
                if root == 0 {
                    atomic::add(&raw mut (*load).counts, change);
                } else {
                    atomic::fetch_add_double(&raw mut (*load).counts, change);
                    load_changed(self, root, (*load).position);
                }
            }
        }
    }

    #[inline(always)]
    fn account_template(self, server: u32, change: u32) {
        if let Some(load) = maps::loads.get_ptr_mut(server) {
            // SAFETY: an aligned field of a map value.
            unsafe { atomic::fetch_add(&raw mut (*load).templates, change) };
        }
    }
}

impl TreeMarks for Kernel {
    #[inline(always)]
    fn mark(self, node: u32, bit: u32) {
        if let Some(node) = maps::tree_nodes.get_ptr_mut(node) {
            // SAFETY: an aligned field of a map value.
            unsafe {
                let stale = &raw mut (*node).stale;
                if ptr::read_volatile(stale) & bit == 0 {
                    atomic::fetch_or(stale, bit);
                }
            }
        }
    }
}

/// The services that hold more than their share.
#[inline(always)]
fn crowds() -> [Crowd; 2] {
    maps::config
        .get(0)
        .map_or_else(Default::default, |config| config.crowds)
}

impl Clients for Kernel {
    type ClientSet = ClientSetPointer;

    #[inline(always)]
    fn client_sets(self) -> u32 {
        CLIENT_SETS
    }

    #[inline(always)]
    fn client_set(self, number: u32) -> Option<ClientSetPointer> {
        // SAFETY: a value of the table, which is never freed while the program runs.
        maps::clients
            .get_ptr_mut(number)
            .map(|set| unsafe { ClientSetPointer::new(set) })
    }

    #[inline(always)]
    fn client_mask(self, service: u32) -> Option<[u64; 2]> {
        let plan = self.plan(service).filter(|plan| plan.filter != 0)?;
        maps::filters.get(plan.filter).map(|filter| filter.mask)
    }
}

impl Store<V4> for Kernel {
    type Set = SetPointer<V4>;

    #[inline(always)]
    fn sets(self) -> u32 {
        constant(&SETS4)
    }

    #[inline(always)]
    fn crowd(self) -> Crowd {
        let [crowd, _] = crowds();
        crowd
    }

    #[inline(always)]
    fn set(self, number: u32) -> Option<SetPointer<V4>> {
        // SAFETY: a value of the table, which is never freed while the program runs.
        maps::connections4
            .get_ptr_mut(number)
            .map(|set| unsafe { SetPointer::new(set) })
    }
}

impl Store<V6> for Kernel {
    type Set = SetPointer<V6>;

    #[inline(always)]
    fn sets(self) -> u32 {
        constant(&SETS6)
    }

    #[inline(always)]
    fn crowd(self) -> Crowd {
        let [_, crowd] = crowds();
        crowd
    }

    #[inline(always)]
    fn set(self, number: u32) -> Option<SetPointer<V6>> {
        // SAFETY: a value of the table, which is never freed while the program runs.
        maps::connections6
            .get_ptr_mut(number)
            .map(|set| unsafe { SetPointer::new(set) })
    }
}

/// Adds to this CPU's counters.
#[inline(always)]
fn add(counters: &PerCpuArray<Stats>, index: u32, change: impl FnOnce(&mut Stats)) {
    if let Some(stats) = counters.get_ptr_mut(index) {
        // SAFETY: this CPU's own element; the program is not interrupted by itself.
        change(unsafe { &mut *stats });
    }
}

extern "C" fn walk_callback<S: Step>(index: u64, steps: *mut c_void) -> i64 {
    // SAFETY: `walk` passes a live, exclusive reference to an `S`.
    let steps = unsafe { &mut *steps.cast::<S>() };
    i64::from(!steps.step(index as u32))
}

impl Tables for Kernel {
    #[inline(always)]
    fn fence(self) {
        verifier::fence();
    }

    #[inline(always)]
    fn found(self, finding: Finding, number: u32) {
        program_log::found(finding, number);
    }

    #[inline(always)]
    fn now(self) -> u32 {
        clock::now()
    }

    #[inline(always)]
    fn config<'a>(self) -> Option<&'a Config> {
        maps::config.get(0)
    }

    #[inline(always)]
    fn option(self, bit: u32) -> bool {
        constant(&OPTIONS) & bit != 0
    }

    #[inline(always)]
    fn addr_filter(self, word: usize) -> u64 {
        maps::addr_filter
            .get(0)
            .and_then(|filter| filter.0.get(word & (ADDR_FILTER_WORDS - 1)).copied())
            .unwrap_or(0)
    }

    #[inline(always)]
    fn own_filter(self, word: usize) -> u64 {
        maps::own_filter
            .get(0)
            .and_then(|filter| filter.0.get(word & (ADDR_FILTER_WORDS - 1)).copied())
            .unwrap_or(0)
    }

    #[inline(always)]
    fn service(self, key: &ServiceKey) -> Option<u32> {
        // SAFETY: the element may be reused while it is read; the plan's own key tells.
        unsafe { maps::services.get(key) }.copied()
    }

    #[inline(always)]
    fn keyed_mark(self, key: &ServiceKey) -> Option<Marked> {
        // SAFETY: the element may be reused while it is read; who asks looks twice.
        unsafe { maps::keyed_marks.get(key) }.map(|keyed| keyed.marked)
    }

    #[inline(always)]
    fn mark_rule<'a>(self, place: u32) -> Option<&'a MarkRule> {
        maps::mark_rules.get(place)
    }

    #[inline(always)]
    fn plan<'a>(self, service: u32) -> Option<&'a Plan> {
        let active = maps::active_plans.get_ptr(service)?;
        // SAFETY: an aligned word of a map value, which the daemon replaces in one store.
        let number = unsafe { ptr::read_volatile(active) };
        if number == 0 {
            return None;
        }
        maps::plans.get(number)
    }

    #[inline(always)]
    fn member<'a>(self, index: u32) -> Option<&'a Member> {
        maps::members.get(index)
    }

    #[inline(always)]
    fn slot(self, index: u32) -> Option<u32> {
        copy(&maps::slots, index).map(u32::from)
    }

    #[inline(always)]
    fn filter<'a>(self, number: u32) -> Option<&'a Filter> {
        maps::filters.get(number)
    }

    #[inline(always)]
    fn filter_node<'a>(self, number: u32) -> Option<&'a FilterNode> {
        maps::filter_nodes.get(number)
    }

    #[inline(always)]
    fn count_refused(self, service: u32, refused: u32) {
        if let Some(stats) = maps::filter_stats.get_ptr_mut(service) {
            // SAFETY: this CPU's own element, and an index below the length of the array.
            unsafe {
                *(&raw mut (*stats).counts)
                    .cast::<u64>()
                    .add(refused as usize & 7) += 1
            };
        }
    }

    #[inline(always)]
    fn ticket(self, service: u32) -> u32 {
        match maps::rr_cursors.get_ptr_mut(service) {
            // SAFETY: an aligned word of a map value.
            Some(cursor) => unsafe { atomic::fetch_add(cursor, 1) },
            None => 0,
        }
    }

    #[inline(always)]
    fn return_ticket(self, service: u32, ticket: u32) {
        if let Some(cursor) = maps::rr_cursors.get_ptr_mut(service) {
            // SAFETY: an aligned word of a map value.
            unsafe { atomic::compare_exchange(cursor, ticket.wrapping_add(1), ticket) };
        }
    }

    #[inline(always)]
    fn server<'a>(self, index: u32) -> Option<&'a Server> {
        maps::servers.get(index)
    }

    #[inline(always)]
    fn hop<'a>(self, number: u32) -> Option<&'a Hop> {
        maps::hops.get(number)
    }

    #[inline(always)]
    fn interface<'a>(self, index: u32) -> Option<&'a Interface> {
        // SAFETY: an element that is reused while it is read may be another interface's, which the daemon's
        // next change of the routes' generation puts right.
        unsafe { maps::interfaces.get(&index) }
    }

    #[inline(always)]
    fn upper_device(self, key: &UpperKey) -> Option<u32> {
        // SAFETY: an element that is reused while it is read may be another interface's, which the daemon's
        // next change of the routes' generation puts right.
        unsafe { maps::upper_devices.get(key) }.copied()
    }

    #[inline(always)]
    fn is_own_address(self, address: &HostAddress) -> bool {
        // SAFETY: nothing is read of the element.
        unsafe { maps::own_hosts.get(address) }.is_some()
    }

    #[inline(always)]
    fn request_neighbour(self, neighbour: &HostAddress) {
        // A table that cannot take it has others that are asked for first.
        let _ = maps::neighbour_requests.insert(neighbour, &0, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn source_pool<'a>(self, number: u32) -> Option<&'a SourcePool> {
        maps::source_pools.get(number)
    }

    #[inline(always)]
    fn load(self, server: u32) -> Load {
        copy(&maps::loads, server).unwrap_or_default()
    }

    #[inline(always)]
    fn set_overloaded(self, server: u32, overloaded: bool) {
        if let Some(load) = maps::loads.get_ptr_mut(server) {
            // SAFETY: an aligned word of a map value; of two CPUs that write it at once either may
            // win, the next connection judges anew.
            unsafe { ptr::write_volatile(&raw mut (*load).overloaded, u32::from(overloaded)) };
        }
    }

    #[inline(always)]
    fn count_in(self, service: u32, server: u32, traffic: Traffic, new: bool) {
        let change = |stats: &mut Stats| {
            stats.connections += u64::from(new);
            stats.in_packets += u64::from(traffic.packets);
            stats.in_bytes += u64::from(traffic.bytes);
        };
        add(&maps::service_stats, service, change);
        add(&maps::server_stats, server, change);
    }

    #[inline(always)]
    fn count_out(self, service: u32, server: u32, traffic: Traffic) {
        let change = |stats: &mut Stats| {
            stats.out_packets += u64::from(traffic.packets);
            stats.out_bytes += u64::from(traffic.bytes);
        };
        add(&maps::service_stats, service, change);
        add(&maps::server_stats, server, change);
    }

    #[inline(always)]
    fn count_syn_retry(self, server: u32) {
        if let Some(retries) = maps::syn_retries.get_ptr_mut(server) {
            // SAFETY: an aligned word of a map value.
            unsafe { atomic::fetch_add(retries, 1) };
        }
    }

    #[inline(always)]
    fn tree_best(self, node: u32) -> u32 {
        // SAFETY: an aligned field of a map value.
        maps::tree_nodes.get_ptr_mut(node).map_or(0, |node| unsafe {
            ptr::read_volatile(&raw const (*node).best)
        })
    }

    #[inline(always)]
    fn exchange_tree_best(self, node: u32, expected: u32, new: u32) -> bool {
        // SAFETY: an aligned field of a map value.
        maps::tree_nodes
            .get_ptr_mut(node)
            .is_some_and(|node| unsafe {
                atomic::compare_exchange(&raw mut (*node).best, expected, new)
            })
    }

    #[inline(always)]
    fn take_stale(self, node: u32) -> u32 {
        // SAFETY: an aligned field of a map value.
        maps::tree_nodes.get_ptr_mut(node).map_or(0, |node| unsafe {
            atomic::exchange(&raw mut (*node).stale, 0)
        })
    }

    #[inline(always)]
    fn locality(self, key: &LocalityKey) -> Option<Locality> {
        // SAFETY: the element may be written while it is read, or be another destination's soon: then the connection
        // gets a server that is one of its service's all the same.
        unsafe { maps::localities.get(key) }.copied()
    }

    #[inline(always)]
    fn set_locality(self, key: &LocalityKey, locality: &Locality) {
        // What cannot be remembered is worked out again for the next connection.
        let _ = maps::localities.insert(key, locality, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn with_call<R>(self, read: impl FnOnce(&mut CallScratch) -> R) -> Option<R> {
        let scratch = maps::call_scratch.get_ptr_mut(0)?;
        // SAFETY: this CPU's own element; the program is not interrupted by itself.
        Some(read(unsafe { &mut *scratch }))
    }

    #[inline(always)]
    fn is_call_known(self, number: CallNumber) -> bool {
        // SAFETY: nothing is read of the element.
        unsafe { maps::calls.get(&number) }.is_some()
    }

    #[inline(always)]
    fn remember_call(self, number: CallNumber, call: &Call) {
        // What cannot be remembered is missing in listings only.
        let _ = maps::calls.insert(&number, call, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn call_of(self, connection: EntryId) -> Option<CallNumber> {
        // SAFETY: the element may be reused while it is read; then the template is another connection's, which is as
        // good as established.
        unsafe { maps::connection_calls.get(&connection.bits()) }.copied()
    }

    #[inline(always)]
    fn remember_call_of(self, connection: EntryId, number: CallNumber) {
        // A template whose connections are not known ends with its time.
        let _ = maps::connection_calls.insert(&connection.bits(), &number, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn remember(self, key: &FragmentKey, ports: Ports) {
        // A table that cannot take it costs the later fragments, nothing more.
        let _ = maps::fragments.insert(key, &ports, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn recall(self, key: &FragmentKey) -> Option<Ports> {
        // SAFETY: the element may be reused while it is read; then a fragment goes astray and its
        // receiver drops the packet, as after a loss.
        unsafe { maps::fragments.get(key) }.copied()
    }

    #[inline(always)]
    fn probe<'a>(self, key: &ProbeKey) -> Option<&'a ProbeRoute> {
        // SAFETY: the daemon removes a route only a while after its probe is over.
        unsafe { maps::probes.get(key) }
    }

    #[inline(always)]
    fn emit_event(self, entry: EntryId) {
        // The daemon comes by many times a second: waking it for each would cost more than the rest.
        let sent = maps::events.output::<u32>(&entry.bits(), u64::from(BPF_RB_NO_WAKEUP));
        if sent.is_err()
            && let Some(lost) = maps::lost_events.get_ptr_mut(0)
        {
            program_log::found(Finding::EventLost, entry.bits());
            // SAFETY: this CPU's own element.
            unsafe { *lost += 1 };
        }
    }

    #[inline(always)]
    fn spend_icmp_budget(self, now: u32) -> bool {
        let Some(budget) = maps::icmp_budget.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: this CPU's own element.
        unsafe { &mut *budget }.spend(now, || constant(&ICMP_RATE))
    }
}

impl Walk for Kernel {
    #[inline(always)]
    fn walk<S: Step>(self, count: u32, steps: &mut S) {
        let callback: extern "C" fn(u64, *mut c_void) -> i64 = walk_callback::<S>;
        // SAFETY: the callback gets back the reference it expects, during this call only.
        unsafe {
            bpf_loop(
                count,
                callback as *mut c_void,
                ptr::from_mut(steps).cast(),
                0,
            );
        }
    }
}
