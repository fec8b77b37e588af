//! The surroundings of the packet path beside the frame: tables, counters and a clock.

use crate::abi::{
    Call, CallNumber, CallScratch, Config, Filter, FilterNode, FragmentKey, Hop, HostAddress,
    Interface, Load, Locality, LocalityKey, MarkRule, Marked, Member, Plan, ProbeKey, ProbeRoute,
    Server, ServiceKey, SourcePool, Sync, UpperKey,
};
use crate::connection::table::Store;
use crate::connection::{EntryId, Loads, Ports, Protocol};
use crate::diagnosis::Finding;
use crate::family::{V4, V6};
use crate::filter::clients::Clients;
use crate::secrets::Secrets;
use crate::tree_marks::TreeMarks;
use crate::walk::Walk;

/// The unit of counters: packets as they are on the wire, and the bytes of these as IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u32,
    /// Their bytes, IP headers included.
    pub bytes: u32,
}

/// The tables of the director. A copy is a handle to the same tables. References into them stay good
/// while a packet is handled: what they lead to is immutable until nobody can refer to it.
pub trait Tables: Walk + Secrets + Loads + TreeMarks + Clients + Store<V4> + Store<V6> {
    /// Does nothing but make an optimiser treat what was just written to memory as unknown, so
    /// that it is read again, not kept: a BPF program has ten registers and 512 bytes of stack.
    fn fence(self) {}
    /// Notes a finding about the packet at hand, with its number, for the program's own log.
    fn found(self, _finding: Finding, _number: u32) {}
    /// The clock in ticks, see [`crate::abi::TICK_SHIFT`].
    fn now(self) -> u32;
    /// The settings.
    fn config<'a>(self) -> Option<&'a Config>
    where
        Self: 'a;
    /// Ticks without a packet after which a connection in this state is forgotten.
    #[inline(always)]
    fn timeout(self, protocol: Protocol, state: u8) -> u32 {
        self.config()
            .map_or(0, |config| config.timeout(protocol, state))
    }
    /// Returns whether a bit of [`crate::abi::Config`]'s options is set.
    fn option(self, bit: u32) -> bool;
    /// A word of the address filter.
    fn addr_filter(self, word: usize) -> u64;
    /// A word of the filter of this host's own addresses.
    fn own_filter(self, word: usize) -> u64;
    /// Index of the service with exactly this key.
    fn service(self, key: &ServiceKey) -> Option<u32>;
    /// The rule for a mark that packets find by exactly this key.
    fn keyed_mark(self, key: &ServiceKey) -> Option<Marked>;
    /// A rule for a mark by its place in the table of rules.
    fn mark_rule<'a>(self, place: u32) -> Option<&'a MarkRule>
    where
        Self: 'a;
    /// The plan in force of a service.
    fn plan<'a>(self, service: u32) -> Option<&'a Plan>
    where
        Self: 'a;
    /// A member by its place in the table of members.
    fn member<'a>(self, index: u32) -> Option<&'a Member>
    where
        Self: 'a;
    /// A slot by its place in the table of slots.
    fn slot(self, index: u32) -> Option<u32>;
    /// A filter by its number.
    fn filter<'a>(self, number: u32) -> Option<&'a Filter>
    where
        Self: 'a;
    /// A node of the filters by its number.
    fn filter_node<'a>(self, number: u32) -> Option<&'a FilterNode>
    where
        Self: 'a;
    /// Counts what a service's filter refused, by the number of [`crate::abi::Refused`].
    fn count_refused(self, service: u32, refused: u32);
    /// [`crate::abi::TreeNode::best`] of a node.
    fn tree_best(self, node: u32) -> u32;
    /// Replaces it if it is the expected one, and returns whether it did; a full barrier.
    fn exchange_tree_best(self, node: u32, expected: u32, new: u32) -> bool;
    /// Clears [`crate::abi::TreeNode::stale`] of a node and returns what it was; a full barrier.
    fn take_stale(self, node: u32) -> u32;
    /// The servers that connections to a destination go to.
    fn locality(self, key: &LocalityKey) -> Option<Locality>;
    /// Remembers the servers of a destination.
    fn set_locality(self, key: &LocalityKey, locality: &Locality);
    /// The next ticket of a service's rotating scheduler.
    fn ticket(self, service: u32) -> u32;
    /// Returns a ticket that came to nothing, if no other was drawn since.
    fn return_ticket(self, service: u32, ticket: u32);
    /// A real server by its index.
    fn server<'a>(self, index: u32) -> Option<&'a Server>
    where
        Self: 'a;
    /// A next hop by its number.
    fn hop<'a>(self, number: u32) -> Option<&'a Hop>
    where
        Self: 'a;
    /// An interface by its index.
    fn interface<'a>(self, index: u32) -> Option<&'a Interface>
    where
        Self: 'a;
    /// Index of the device that frames of an interface are, if that is another one.
    fn upper_device(self, key: &UpperKey) -> Option<u32>;
    /// Returns whether this host has an address.
    fn is_own_address(self, address: &HostAddress) -> bool;
    /// Has the daemon find the Ethernet address of a neighbour that a reply goes to.
    fn request_neighbour(self, neighbour: &HostAddress);
    /// A source pool by its number.
    fn source_pool<'a>(self, number: u32) -> Option<&'a SourcePool>
    where
        Self: 'a;
    /// Connections of a server.
    fn load(self, server: u32) -> Load;
    /// Notes that a server reached its upper threshold, or is below the lower one again.
    fn set_overloaded(self, server: u32, overloaded: bool);
    /// Counts packets from a client, and the connection if it is new.
    fn count_in(self, service: u32, server: u32, traffic: Traffic, new: bool);
    /// Counts packets to a client.
    fn count_out(self, service: u32, server: u32, traffic: Traffic);
    /// Counts a SYN that a client repeated because the server did not answer, atomically.
    fn count_syn_retry(self, server: u32);
    /// Remembers the ports that stand only in a packet's first fragment.
    fn remember(self, key: &FragmentKey, ports: Ports);
    /// The ports of a later fragment.
    fn recall(self, key: &FragmentKey) -> Option<Ports>;
    /// Lends the memory for reading a SIP message, which keeps the packet's call.
    fn with_call<R>(self, read: impl FnOnce(&mut CallScratch) -> R) -> Option<R>;
    /// Returns whether the Call-ID of a call is known.
    fn is_call_known(self, number: CallNumber) -> bool;
    /// Remembers the Call-ID of a call.
    fn remember_call(self, number: CallNumber, call: &Call);
    /// The call of a connection, by its entry.
    fn call_of(self, connection: EntryId) -> Option<CallNumber>;
    /// Remembers the call of a connection.
    fn remember_call_of(self, connection: EntryId, number: CallNumber);
    /// Returns whether there may be probes on the service path.
    #[inline(always)]
    fn probing(self) -> bool {
        self.config().is_some_and(|config| config.probing != 0)
    }
    /// The route of a probe on the service path.
    fn probe<'a>(self, key: &ProbeKey) -> Option<&'a ProbeRoute>
    where
        Self: 'a;
    /// The connections that are replicated, and when.
    #[inline(always)]
    fn sync(self) -> Sync {
        self.config().map_or(Sync::default(), |config| config.sync)
    }
    /// Notifies the daemon that another director should know of a connection, by its entry.
    fn emit_event(self, entry: EntryId);
    /// Spends a token for one more ICMP error, see [`crate::abi::IcmpBudget`]. False: none may be sent now.
    fn spend_icmp_budget(self, now: u32) -> bool;
}
