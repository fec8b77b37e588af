//! The working memory of a packet.

use super::context::{Forward, Rewrite, Route, Source, Wire};
use super::icmp_error::Answer;
use super::source_candidates::Candidates;
use super::stage::Stage;
use super::state_change::StateChange;
use crate::abi::{EthernetAddresses, Marked, Method, PacketRecord, Plan};
use crate::connection::table::{Inserted, New, Survey};
use crate::connection::{Client, Key, Ports, Record, Signal, Tag};
use crate::ethernet::{Egress, EthernetHeader, UNTAGGED};
use crate::family::{Family, V4, V6};
use crate::ftp::{self, Reader};
use crate::network::Datagram;
use crate::routes::Lookup;
use crate::scheduler::{LocalitySearch, NO_SERVER, Search};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Looks for which another CPU's insertion is waited for: a few microseconds.
pub(super) const PATIENCE: u32 = 128;

/// The working memory of a packet while it is handled. It outlives no packet; it lies outside the stack
/// because a BPF program's is 512 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Work<F: Family> {
    /// The packet.
    pub forward: Forward<F>,
    /// Key of what is looked up or inserted.
    pub key: Key<F>,
    /// An entry to be.
    pub new: New<F>,
    /// The entry for the replies of a new NAT connection.
    pub reply: Inserted,
    /// The sources that a new NAT connection may have.
    pub candidates: Candidates<F>,
    /// The groups of clients of a new connection's service, see [`Record::persistence`].
    pub persistence: u8,
    /// Index of the service that a new connection is for.
    pub service: u32,
    /// Bits of [`Record::method`] that the filter of its service sets, or those of its connection.
    pub limits: u8,
    /// 1 if the packet opened its connection, -1 (in two's complement) if it closed it.
    pub opened: u32,
    /// Limits that hold for it, as bits of [`crate::abi::Filter::flags`]: all if it is to begin a connection.
    pub opens: u8,
    /// The reason for which its filter refuses it, as a number of [`crate::abi::Refused`]; or that it does not.
    pub refused: u32,
    /// The search for the server of a new connection: not the one that did not answer it before.
    pub search: Search,
    /// State of lblc and lblcr beside the search.
    pub locality: LocalitySearch,
    /// The server of a new connection that FTP's control connection announced, whose own port is that of the packet;
    /// [`NO_SERVER`]: it was not announced.
    pub data_server: u32,
    /// The message of FTP that the packet begins with.
    pub ftp: Reader,
    /// Bits of an FTP control message, see `ftp.rs`: it announces a data connection, it holds an address to translate.
    pub says: u8,
    /// Next stage of the packet of an FTP control connection, while its message is read.
    pub stage: Stage,
    /// Number of the packet's connection in the table, plus one, for `find::again`.
    pub number: u32,
    /// The packet is scheduled for itself alone (one-packet scheduling): it gets no entry.
    pub one_packet: bool,
    /// The packet established a connection of a persistent service: [`Work::key`] is the connection's,
    /// [`Work::number`] says where it is, and [`Work::new`] has its record.
    pub established: bool,
    /// The change that another director may have to know of.
    pub change: StateChange,
    /// State of the packet's connection before it; whatever where none is known, see
    /// [`packet_record::begin`](super::packet_record::begin).
    pub before: u8,
    /// The way to a reply's client.
    pub client: Egress,
    /// The same as the connection's entry holds it, or is to.
    pub way: Client,
    /// The way of this reply leads to a next hop whose Ethernet address the kernel has to find: a socket buffer waits
    /// for it.
    pub waits: bool,
    /// A question to the kernel's routes, and the answer.
    pub lookup: Lookup,
    /// The code of the answer: see `client_route`.
    pub answer: u32,
    /// [`Record::ASYMMETRIC`] of a new NAT connection, or 0.
    pub asymmetric: u8,
    /// Its end, for [`Stage::Ended`].
    pub verdict: Verdict,
    /// The packet inside an ICMP error.
    pub inner: Datagram<F>,
}

/// Room for the packet at hand, of either family. Whatever is read from it was written for the same
/// packet.
#[derive(Clone, Copy, Debug)]
pub struct Workspace {
    /// An IPv4 packet.
    pub v4: Work<V4>,
    /// An IPv6 packet.
    pub v6: Work<V6>,
}

impl Workspace {
    /// That of a packet of which nothing is known yet.
    pub fn blank() -> Self {
        Self {
            v4: Work::blank(),
            v6: Work::blank(),
        }
    }
}

impl<F: Family> Work<F> {
    /// Before the first stage: neither a service nor a server is found. Only user space needs it: the program finds its
    /// workspace in a map.
    pub fn blank() -> Self {
        let address = F::narrow(&[0; 16]);
        let ports = Ports::default();
        let key = Key {
            source: address,
            destination: address,
            ports,
            protocol: 0,
            kind: 0,
        };
        let datagram = Datagram::blank();
        let forward = Forward {
            interface: 0,
            ethernet: EthernetHeader::EMPTY,
            datagram,
            wire: Wire::one(0),
            protocol: None,
            signal: Signal::Nothing,
            ports,
            hash: 0,
            now: 0,
            route: Route {
                source: Source::Client,
                ..Route::new(NO_SERVER, Method::Direct)
            },
            rewrite: Rewrite {
                source: address,
                destination: address,
                ports,
            },
            answer: Answer::NONE,
        };
        Self {
            forward,
            key,
            new: New {
                key,
                record: Record::BLANK,
                client: Client::default(),
                partner: 0,
                state: 0,
                half_open: false,
                pinned: false,
                now: 0,
                timeout: 0,
                survey: Survey::default(),
            },
            reply: Inserted {
                number: 0,
                tag: Tag(0),
            },
            candidates: Candidates::new(address, 1, [1, 1], 0, true),
            persistence: 0,
            service: Marked::NO_SERVICE,
            limits: 0,
            opened: 0,
            opens: 0,
            refused: 0,
            search: Search::new(NO_SERVER),
            locality: LocalitySearch::new(),
            data_server: NO_SERVER,
            ftp: Reader::default(),
            says: 0,
            stage: Stage::Ended,
            number: 0,
            one_packet: false,
            established: false,
            change: StateChange::NONE,
            before: PacketRecord::NO_STATE,
            client: Egress {
                ethernet: EthernetAddresses::NONE,
                tags: UNTAGGED,
                interface: 0,
            },
            way: Client::default(),
            waits: false,
            lookup: Lookup::default(),
            answer: u32::MAX,
            asymmetric: 0,
            verdict: Verdict::pass(Reason::NotIp),
            inner: datagram,
        }
    }

    /// The end of a packet.
    #[inline(always)]
    pub fn end(&mut self, verdict: Verdict) -> Stage {
        self.verdict = verdict;
        Stage::Ended
    }

    /// To be scheduled, to another server than `avoid` if there is one.
    #[inline(always)]
    pub const fn schedule(&mut self, avoid: u32) -> Stage {
        self.search.restart(avoid);
        Stage::Schedule
    }

    /// Sends the packet of a new connection to a server.
    #[inline(always)]
    pub fn send_to(&mut self, server: u32, method: Method) {
        self.forward.route = Route::new(server, method);
        let avoid = self.search.avoid;
        if avoid != NO_SERVER && avoid != server {
            self.forward.route.reason = Reason::Rescheduled;
        }
    }

    /// The record of the new connection's entries.
    #[inline(always)]
    pub fn record<T: Tables>(&self, tables: T) -> Record {
        let Route { server, method, .. } = self.forward.route;
        let service = tables.server(server).map_or(0, |server| server.service);
        let own = tables.plan(service).map_or(0, Plan::timeout_bit);
        let control = if method == Method::Nat && ftp::is_control(&self.key) {
            Record::OWN_TIMEOUT
        } else {
            0
        };
        let again = if self.search.avoid == NO_SERVER {
            0
        } else {
            Record::REDISPATCHED
        };
        let record = tables.new_record(server, service, method);
        record.with(
            record.method | self.limits | own | control | again | self.asymmetric,
            self.persistence,
        )
    }

    /// Notes whose open connection a step of it may have changed.
    #[inline(always)]
    pub(super) fn note_client<T: Tables>(&mut self, tables: T, record: Record) {
        self.limits = record.method & Record::COUNTED;
        self.service = tables.service_of(&record);
    }

    /// Counts the packet, and the connection that it starts if it does, for the server it goes to. A
    /// server that gets a connection back was counted to have it before.
    #[inline(never)]
    pub(super) fn count<T: Tables>(&self, tables: T, new: bool) {
        let server = self.forward.route.server;
        let new = new && self.search.avoid != server;
        let service = tables.server(server).map_or(0, |server| server.service);
        tables.count_in(service, server, self.forward.wire.traffic, new);
    }
}
