//! The tables of the data path for a packet that is only rehearsed: it reads what every packet reads, at this moment,
//! and what it changes is changed in copies that nobody else sees. It counts nothing, and nobody hears of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

use bumpalo::Bump;
use lvs_common::abi::{
    Call, CallNumber, CallScratch, Config, Crowd, Filter, FilterNode, FragmentKey, Hop,
    HostAddress, Interface, Load, Locality, LocalityKey, MarkRule, Marked, Member, Plan, ProbeKey,
    ProbeRoute, Server, ServiceKey, SourcePool, TreeNode, UpperKey, WAYS,
};
use lvs_common::connection::table::Store;
use lvs_common::connection::{EntryId, Loads, Ports, Servers};
use lvs_common::family::{Family, V4, V6};
use lvs_common::filter::clients::Clients;
use lvs_common::routes::{Lookup, Routes};
use lvs_common::scheduler::tree_marks::{TreeMarks, load_changed};
use lvs_common::secrets::Secrets;
use lvs_common::tables::{Tables, Traffic};
use lvs_common::walk::Walk;

use super::client_sets::CopiedClients;
use super::connection_sets::CopiedSet;
use crate::kernel::{EntryMapping, Maps};

/// The tables as a rehearsed packet sees them, with what it changed.
pub(super) struct State<'s> {
    maps: &'s Maps,
    /// Holds what was looked at: the packet path works with references to it.
    arena: &'s Bump,
    config: &'s Config,
    now: u32,
    v4: RefCell<HashMap<u32, &'s CopiedSet<V4>>>,
    v6: RefCell<HashMap<u32, &'s CopiedSet<V6>>>,
    clients: RefCell<HashMap<u32, &'s CopiedClients>>,
    loads: RefCell<HashMap<u32, Load>>,
    nodes: RefCell<HashMap<u32, TreeNode>>,
    tickets: RefCell<HashMap<u32, u32>>,
    localities: RefCell<HashMap<(u32, u32), Locality>>,
    call: RefCell<CallScratch>,
    route_error: RefCell<Option<String>>,
}

impl<'s> State<'s> {
    /// The tables at this moment, by the packet path's clock. `None`: they have no settings yet.
    pub(super) fn of(maps: &'s Maps, arena: &'s Bump, now: u32) -> Option<Self> {
        Some(Self {
            maps,
            arena,
            config: arena.alloc(maps.config.read(0)?),
            now,
            v4: RefCell::default(),
            v6: RefCell::default(),
            clients: RefCell::default(),
            loads: RefCell::default(),
            nodes: RefCell::default(),
            tickets: RefCell::default(),
            localities: RefCell::default(),
            call: RefCell::default(),
            route_error: RefCell::default(),
        })
    }

    /// The reason why the kernel's routes could not be asked, if they could not.
    pub(super) fn route_error(&self) -> Option<String> {
        self.route_error.borrow().clone()
    }

    fn keep<T: Copy>(&self, value: Option<T>) -> Option<&'s T> {
        value.map(|value| &*self.arena.alloc(value))
    }
}

/// A handle to the tables.
#[derive(Clone, Copy)]
pub(super) struct Rehearsal<'s>(pub(super) &'s State<'s>);

/// The copy of something, made at the first look.
fn copied<K: Eq + Hash, V: Copy>(
    copies: &RefCell<HashMap<K, V>>,
    key: K,
    copy: impl FnOnce() -> V,
) -> V {
    *copies.borrow_mut().entry(key).or_insert_with(copy)
}

fn set<'s, F: Family>(
    state: &State<'s>,
    copies: &RefCell<HashMap<u32, &'s CopiedSet<F>>>,
    entries: &EntryMapping<F>,
    number: u32,
) -> Option<&'s CopiedSet<F>> {
    let copy = || &*state.arena.alloc(CopiedSet::of(entries, number));
    (number < entries.len() / WAYS).then(|| copied(copies, number, copy))
}

impl Rehearsal<'_> {
    fn node(self, number: u32) -> TreeNode {
        let read = || {
            let node = self.0.maps.program_lookups.tree_node(number);
            node.unwrap_or(TreeNode { best: 0, stale: 0 })
        };
        copied(&self.0.nodes, number, read)
    }

    fn change_load(self, server: u32, change: impl FnOnce(&mut Load)) {
        let mut load = self.load(server);
        change(&mut load);
        self.0.loads.borrow_mut().insert(server, load);
    }
}

impl Walk for Rehearsal<'_> {}

impl Secrets for Rehearsal<'_> {
    fn secret(self, index: usize) -> u64 {
        self.0.config.secrets.get(index).copied().unwrap_or(0)
    }
}

impl Servers for Rehearsal<'_> {
    fn has_long_indexes(self) -> bool {
        self.0.maps.loads.has_long_indexes()
    }

    fn service_of_server(self, server: u32) -> u32 {
        self.0.maps.loads.service_of_server(server)
    }
}

impl Loads for Rehearsal<'_> {
    fn account(self, server: u32, change: u64) {
        self.change_load(server, |load| {
            load.counts = load.counts.wrapping_add(change);
        });
        let Load { tree, position, .. } = self.load(server);
        if tree != 0 {
            load_changed(self, tree, position);
        }
    }

    fn account_template(self, server: u32, change: u32) {
        self.change_load(server, |load| {
            load.templates = load.templates.wrapping_add(change);
        });
    }
}

impl TreeMarks for Rehearsal<'_> {
    fn mark(self, node: u32, bit: u32) {
        let marked = self.node(node);
        let stale = marked.stale | bit;
        let marked = TreeNode { stale, ..marked };
        self.0.nodes.borrow_mut().insert(node, marked);
    }
}

impl<'s> Clients for Rehearsal<'s> {
    type ClientSet = &'s CopiedClients;

    fn client_sets(self) -> u32 {
        (&self.0.maps.clients).client_sets()
    }

    fn client_set(self, number: u32) -> Option<&'s CopiedClients> {
        let set = self.0.maps.clients.set(number)?;
        let copy = || &*self.0.arena.alloc(CopiedClients::of(set));
        Some(copied(&self.0.clients, number, copy))
    }

    fn client_mask(self, service: u32) -> Option<[u64; 2]> {
        (&self.0.maps.clients).client_mask(service)
    }
}

impl<'s> Store<V4> for Rehearsal<'s> {
    type Set = &'s CopiedSet<V4>;

    fn sets(self) -> u32 {
        self.0.maps.connections4.len() / WAYS
    }

    fn set(self, number: u32) -> Option<Self::Set> {
        set(self.0, &self.0.v4, &self.0.maps.connections4, number)
    }

    fn crowd(self) -> Crowd {
        let [crowd, _] = self.0.config.crowds;
        crowd
    }
}

impl<'s> Store<V6> for Rehearsal<'s> {
    type Set = &'s CopiedSet<V6>;

    fn sets(self) -> u32 {
        self.0.maps.connections6.len() / WAYS
    }

    fn set(self, number: u32) -> Option<Self::Set> {
        set(self.0, &self.0.v6, &self.0.maps.connections6, number)
    }

    fn crowd(self) -> Crowd {
        let [_, crowd] = self.0.config.crowds;
        crowd
    }
}

impl Tables for Rehearsal<'_> {
    fn now(self) -> u32 {
        self.0.now
    }

    fn config<'a>(self) -> Option<&'a Config>
    where
        Self: 'a,
    {
        Some(self.0.config)
    }

    fn option(self, bit: u32) -> bool {
        self.0.config.options & bit != 0
    }

    fn addr_filter(self, word: usize) -> u64 {
        self.0.maps.program_lookups.addr_filter(word)
    }

    fn own_filter(self, word: usize) -> u64 {
        self.0.maps.program_lookups.own_filter(word)
    }

    fn service(self, key: &ServiceKey) -> Option<u32> {
        self.0.maps.program_lookups.service(key)
    }

    fn keyed_mark(self, key: &ServiceKey) -> Option<Marked> {
        let found = self.0.maps.program_lookups.keyed_mark(key);
        found.map(|keyed| keyed.marked)
    }

    fn mark_rule<'a>(self, place: u32) -> Option<&'a MarkRule>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.mark_rules.read(place))
    }

    fn plan<'a>(self, service: u32) -> Option<&'a Plan>
    where
        Self: 'a,
    {
        let number = self.0.maps.active_plans.read(service)?;
        let plan = (number != 0).then(|| self.0.maps.plans.read(number));
        self.0.keep(plan.flatten())
    }

    fn member<'a>(self, index: u32) -> Option<&'a Member>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.members.read(index))
    }

    fn slot(self, index: u32) -> Option<u32> {
        self.0.maps.slots.read(index).map(u32::from)
    }

    fn filter<'a>(self, number: u32) -> Option<&'a Filter>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.filters.read(number))
    }

    fn filter_node<'a>(self, number: u32) -> Option<&'a FilterNode>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.filter_nodes.read(number))
    }

    fn count_refused(self, _service: u32, _refused: u32) {}

    fn tree_best(self, node: u32) -> u32 {
        self.node(node).best
    }

    fn exchange_tree_best(self, node: u32, expected: u32, new: u32) -> bool {
        let found = self.node(node);
        let same = found.best == expected;
        if same {
            let found = TreeNode { best: new, ..found };
            self.0.nodes.borrow_mut().insert(node, found);
        }
        same
    }

    fn take_stale(self, node: u32) -> u32 {
        let found = self.node(node);
        let fresh = TreeNode { stale: 0, ..found };
        self.0.nodes.borrow_mut().insert(node, fresh);
        found.stale
    }

    fn locality(self, key: &LocalityKey) -> Option<Locality> {
        let changed = self.0.localities.borrow();
        let found = changed.get(&(key.service, key.destination)).copied();
        found.or_else(|| self.0.maps.program_lookups.locality(key))
    }

    fn set_locality(self, key: &LocalityKey, locality: &Locality) {
        let mut localities = self.0.localities.borrow_mut();
        localities.insert((key.service, key.destination), *locality);
    }

    fn with_call<R>(self, read: impl FnOnce(&mut CallScratch) -> R) -> Option<R> {
        Some(read(&mut self.0.call.borrow_mut()))
    }

    fn is_call_known(self, _number: CallNumber) -> bool {
        true
    }

    fn remember_call(self, _number: CallNumber, _call: &Call) {}

    fn call_of(self, _connection: EntryId) -> Option<CallNumber> {
        None
    }

    fn remember_call_of(self, _connection: EntryId, _number: CallNumber) {}

    fn ticket(self, service: u32) -> u32 {
        let read = || self.0.maps.program_lookups.ticket(service);
        let ticket = copied(&self.0.tickets, service, read);
        let next = ticket.wrapping_add(1);
        self.0.tickets.borrow_mut().insert(service, next);
        ticket
    }

    fn return_ticket(self, service: u32, ticket: u32) {
        let mut tickets = self.0.tickets.borrow_mut();
        if tickets.get(&service) == Some(&ticket.wrapping_add(1)) {
            tickets.insert(service, ticket);
        }
    }

    fn server<'a>(self, index: u32) -> Option<&'a Server>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.servers.read(index))
    }

    fn hop<'a>(self, number: u32) -> Option<&'a Hop>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.hops.read(number))
    }

    fn interface<'a>(self, index: u32) -> Option<&'a Interface>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.program_lookups.interface(index))
    }

    fn upper_device(self, key: &UpperKey) -> Option<u32> {
        self.0.maps.program_lookups.upper_device(key)
    }

    fn is_own_address(self, address: &HostAddress) -> bool {
        self.0.maps.program_lookups.is_own_host(address)
    }

    fn request_neighbour(self, _neighbour: &HostAddress) {}

    fn source_pool<'a>(self, number: u32) -> Option<&'a SourcePool>
    where
        Self: 'a,
    {
        self.0.keep(self.0.maps.source_pools.read(number))
    }

    fn load(self, server: u32) -> Load {
        let read = || self.0.maps.loads.read(server).unwrap_or_default();
        copied(&self.0.loads, server, read)
    }

    fn set_overloaded(self, server: u32, overloaded: bool) {
        self.change_load(server, |load| load.overloaded = u32::from(overloaded));
    }

    fn count_in(self, _service: u32, _server: u32, _traffic: Traffic, _new: bool) {}

    fn count_out(self, _service: u32, _server: u32, _traffic: Traffic) {}

    fn count_syn_retry(self, _server: u32) {}

    fn remember(self, _key: &FragmentKey, _ports: Ports) {}

    fn recall(self, _key: &FragmentKey) -> Option<Ports> {
        None
    }

    /// A client's packet is no probe.
    fn probing(self) -> bool {
        false
    }

    fn probe<'a>(self, _key: &ProbeKey) -> Option<&'a ProbeRoute>
    where
        Self: 'a,
    {
        None
    }

    fn emit_event(self, _entry: EntryId) {}

    /// As many as there may be: a single packet does not reach the limit.
    fn spend_icmp_budget(self, _now: u32) -> bool {
        true
    }
}

/// The kernel's routes, asked by the program that the daemon runs.
#[derive(Clone, Copy)]
pub(super) struct RehearsedRoutes<'s>(pub(super) &'s State<'s>);

impl Routes for RehearsedRoutes<'_> {
    fn look_up(self, lookup: &mut Lookup, flags: u32) -> u32 {
        match self.0.maps.program_lookups.ask_routes(lookup, flags) {
            Ok(answer) => answer,
            Err(error) => {
                *self.0.route_error.borrow_mut() = Some(error.to_string());
                Lookup::NOT_FORWARDED
            }
        }
    }
}
