//! The director's memory as the tables of the packet path.

use std::cell::RefCell;
use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{
    Call, CallNumber, CallScratch, Config, Crowd, Filter, FilterNode, FragmentKey, Hop,
    HostAddress, Interface, Load, LocalFlow, LocalKey, Locality, LocalityKey, MarkRule, Marked,
    Member, Plan, ProbeKey, ProbeRoute, Server, ServiceKey, SourcePool, UpperKey, addr_filter_bit,
};
use lvs_common::connection::table::Store;
use lvs_common::connection::{EntryId, Loads, Ports, Servers};
use lvs_common::family::{V4, V6};
use lvs_common::filter::clients::Clients;
use lvs_common::local_clients::{LocalSearch, LocalTables};
use lvs_common::secrets::Secrets;
use lvs_common::tables::{Tables, Traffic};
use lvs_common::tree_marks::{TreeMarks, load_changed};
use lvs_common::walk::Walk;

use super::super::memory_clients::ClientSet;
use super::super::memory_sets::Set;
use super::Director;

impl Walk for &Director {}

impl Secrets for &Director {
    fn secret(self, index: usize) -> u64 {
        self.secrets[index]
    }
}

impl<'a> Clients for &'a Director {
    type ClientSet = &'a ClientSet;
    fn client_sets(self) -> u32 {
        u32::try_from(self.clients.len()).expect("few")
    }
    fn client_set(self, number: u32) -> Option<&'a ClientSet> {
        self.clients.get(number as usize)
    }
    fn client_mask(self, service: u32) -> Option<[u64; 2]> {
        let number = self.services.get(service as usize)?.plan.filter;
        let filter = self.filters.get(number as usize)?;
        (number != 0).then_some(filter.mask)
    }
}

impl Servers for &Director {
    fn has_long_indexes(self) -> bool {
        self.long_indexes
    }
    fn service_of_server(self, server: u32) -> u32 {
        let server = self.servers.get(server as usize);
        server.map_or(Marked::NO_SERVICE, |server| server.service)
    }
}

impl Loads for &Director {
    fn account(self, server: u32, change: u64) {
        self.loads[server as usize].0.fetch_add(change, SeqCst);
        let (tree, position) = self.leaves[server as usize];
        if tree != 0 {
            load_changed(self, tree, position);
        }
    }
    fn account_template(self, server: u32, change: u32) {
        self.templates[server as usize].fetch_add(change, SeqCst);
    }
}

impl TreeMarks for &Director {
    fn mark(self, node: u32, bit: u32) {
        self.tree_nodes[node as usize].1.fetch_or(bit, SeqCst);
    }
}

impl<'a> Store<V4> for &'a Director {
    type Set = &'a Set<V4>;
    fn sets(self) -> u32 {
        u32::try_from(self.v4.len()).expect("few")
    }
    fn set(self, number: u32) -> Option<Self::Set> {
        self.v4.get(number as usize)
    }
    fn crowd(self) -> Crowd {
        self.config.crowds[0]
    }
}

impl<'a> Store<V6> for &'a Director {
    type Set = &'a Set<V6>;
    fn sets(self) -> u32 {
        u32::try_from(self.v6.len()).expect("few")
    }
    fn set(self, number: u32) -> Option<Self::Set> {
        self.v6.get(number as usize)
    }
    fn crowd(self) -> Crowd {
        self.config.crowds[1]
    }
}

impl LocalTables for &Director {
    fn local_flow(self, key: &LocalKey) -> Option<LocalFlow> {
        let flows = self.local_flows.lock().expect("no panic while held");
        flows.get(key).copied()
    }
    fn set_local_flow(self, key: &LocalKey, flow: &LocalFlow) {
        let mut flows = self.local_flows.lock().expect("no panic while held");
        flows.insert(*key, *flow);
    }
    fn local_peer(self, key: &LocalKey) -> Option<ServiceKey> {
        let peers = self.local_peers.lock().expect("no panic while held");
        peers.get(key).copied()
    }
    fn set_local_peer(self, key: &LocalKey, service: &ServiceKey) {
        let mut peers = self.local_peers.lock().expect("no panic while held");
        peers.insert(*key, *service);
    }
    fn with_search<R>(self, search: impl FnOnce(&mut LocalSearch) -> R) -> Option<R> {
        Some(search(&mut LocalSearch::new()))
    }
    fn count_local(self, _service: u32, server: u32) {
        self.count(server, |stats| stats.connections += 1);
    }
    fn random(self) -> u32 {
        self.random.fetch_add(1, SeqCst)
    }
}

impl Tables for &Director {
    fn now(self) -> u32 {
        self.clock.load(SeqCst)
    }
    fn config<'a>(self) -> Option<&'a Config>
    where
        Self: 'a,
    {
        Some(&self.config)
    }
    fn option(self, bit: u32) -> bool {
        self.options & bit != 0
    }
    fn addr_filter(self, word: usize) -> u64 {
        self.addr_filter[word]
    }
    fn service(self, key: &ServiceKey) -> Option<u32> {
        self.index.get(key).copied()
    }
    fn keyed_mark(self, key: &ServiceKey) -> Option<Marked> {
        self.keyed_marks.get(key).copied()
    }
    fn mark_rule<'a>(self, place: u32) -> Option<&'a MarkRule>
    where
        Self: 'a,
    {
        self.mark_rules.get(place as usize)
    }
    fn plan<'a>(self, service: u32) -> Option<&'a Plan>
    where
        Self: 'a,
    {
        Some(&self.services.get(service as usize)?.plan)
    }
    fn member<'a>(self, index: u32) -> Option<&'a Member>
    where
        Self: 'a,
    {
        self.members.get(index as usize)
    }
    fn slot(self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).copied().map(u32::from)
    }
    fn filter<'a>(self, number: u32) -> Option<&'a Filter>
    where
        Self: 'a,
    {
        self.filters.get(number as usize)
    }
    fn filter_node<'a>(self, number: u32) -> Option<&'a FilterNode>
    where
        Self: 'a,
    {
        self.filter_nodes.get(number as usize)
    }
    fn count_refused(self, _service: u32, refused: u32) {
        self.refused[refused as usize].fetch_add(1, SeqCst);
    }
    fn ticket(self, service: u32) -> u32 {
        self.rr_cursors[service as usize].fetch_add(1, SeqCst)
    }
    fn return_ticket(self, service: u32, ticket: u32) {
        let (drawn, before) = (ticket.wrapping_add(1), ticket);
        let cursor = &self.rr_cursors[service as usize];
        let _ = cursor.compare_exchange(drawn, before, SeqCst, SeqCst);
    }
    fn server<'a>(self, index: u32) -> Option<&'a Server>
    where
        Self: 'a,
    {
        self.servers.get(index as usize)
    }
    fn hop<'a>(self, number: u32) -> Option<&'a Hop>
    where
        Self: 'a,
    {
        self.hops.get(number as usize)
    }
    fn interface<'a>(self, index: u32) -> Option<&'a Interface>
    where
        Self: 'a,
    {
        self.interfaces.get(&index)
    }
    fn upper_device(self, key: &UpperKey) -> Option<u32> {
        self.upper_devices.get(key).copied()
    }
    fn own_filter(self, word: usize) -> u64 {
        let bits = self
            .own_addresses
            .iter()
            .map(|own| addr_filter_bit(&own.address));
        bits.filter(|bit| bit.0 == word)
            .fold(0, |all, (_, bit)| all | 1 << bit)
    }

    fn is_own_address(self, address: &HostAddress) -> bool {
        self.own_addresses.contains(address)
    }
    fn request_neighbour(self, neighbour: &HostAddress) {
        let mut requested = self.requested.lock().expect("no panic while held");
        requested.push(*neighbour);
    }
    fn source_pool<'a>(self, number: u32) -> Option<&'a SourcePool>
    where
        Self: 'a,
    {
        self.source_pools.get(number as usize)
    }
    fn load(self, server: u32) -> Load {
        let (counts, overloaded) = &self.loads[server as usize];
        Load {
            counts: counts.load(SeqCst),
            overloaded: overloaded.load(SeqCst),
            templates: self.templates[server as usize].load(SeqCst),
            tree: self.leaves[server as usize].0,
            position: self.leaves[server as usize].1,
            reserved: [0; 2],
        }
    }
    fn set_overloaded(self, server: u32, overloaded: bool) {
        let flag = &self.loads[server as usize].1;
        flag.store(u32::from(overloaded), SeqCst);
    }
    fn count_in(self, service: u32, server: u32, traffic: Traffic, new: bool) {
        assert_eq!(service, self.service_of_server(server));
        self.count(server, |stats| {
            stats.connections += u64::from(new);
            stats.in_packets += u64::from(traffic.packets);
            stats.in_bytes += u64::from(traffic.bytes);
        });
    }
    fn count_out(self, service: u32, server: u32, traffic: Traffic) {
        assert_eq!(service, self.service_of_server(server));
        self.count(server, |stats| {
            stats.out_packets += u64::from(traffic.packets);
            stats.out_bytes += u64::from(traffic.bytes);
        });
    }
    fn count_syn_retry(self, server: u32) {
        self.syn_retries[server as usize].fetch_add(1, SeqCst);
    }
    fn tree_best(self, node: u32) -> u32 {
        self.tree_nodes[node as usize].0.load(SeqCst)
    }
    fn exchange_tree_best(self, node: u32, expected: u32, new: u32) -> bool {
        // Others shall come between the loads that were read and what follows from them.
        std::thread::yield_now();
        let best = &self.tree_nodes[node as usize].0;
        best.compare_exchange(expected, new, SeqCst, SeqCst).is_ok()
    }
    fn take_stale(self, node: u32) -> u32 {
        self.tree_nodes[node as usize].1.swap(0, SeqCst)
    }
    fn locality(self, key: &LocalityKey) -> Option<Locality> {
        let localities = self.localities.lock().expect("no panic while held");
        localities.get(key).copied()
    }
    fn set_locality(self, key: &LocalityKey, locality: &Locality) {
        let mut localities = self.localities.lock().expect("no panic while held");
        localities.insert(*key, *locality);
    }
    fn with_call<R>(self, read: impl FnOnce(&mut CallScratch) -> R) -> Option<R> {
        thread_local! {
            static SCRATCH: RefCell<CallScratch> = const { RefCell::new(CallScratch::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| Some(read(scratch)))
    }
    fn is_call_known(self, number: CallNumber) -> bool {
        let calls = self.calls.lock().expect("no panic while held");
        calls.contains_key(&number)
    }
    fn remember_call(self, number: CallNumber, call: &Call) {
        let mut calls = self.calls.lock().expect("no panic while held");
        calls.insert(number, *call);
    }
    fn call_of(self, connection: EntryId) -> Option<CallNumber> {
        let calls = self.connection_calls.lock().expect("no panic while held");
        calls.get(&connection).copied()
    }
    fn remember_call_of(self, connection: EntryId, number: CallNumber) {
        let mut calls = self.connection_calls.lock().expect("no panic while held");
        calls.insert(connection, number);
    }
    fn remember(self, key: &FragmentKey, ports: Ports) {
        let mut fragments = self.fragments.lock().expect("no panic while held");
        fragments.insert(*key, ports);
    }
    fn recall(self, key: &FragmentKey) -> Option<Ports> {
        let fragments = self.fragments.lock().expect("no panic while held");
        fragments.get(key).copied()
    }
    fn probing(self) -> bool {
        !self.probes.is_empty()
    }
    fn probe<'a>(self, key: &ProbeKey) -> Option<&'a ProbeRoute>
    where
        Self: 'a,
    {
        self.probes.get(key)
    }
    fn emit_event(self, entry: EntryId) {
        let mut events = self.events.lock().expect("no panic while held");
        events.push(entry);
    }
    fn spend_icmp_budget(self, _now: u32) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.answers.fetch_update(SeqCst, SeqCst, take).is_ok()
    }
}
