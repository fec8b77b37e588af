//! The way of a packet, from its first byte to its verdict.
//!
//! Names in capitals are a [`Stage`], the others the file or function that handles it:
//!
//! ```text
//!                      frame
//!                        │
//!                        ▼
//!                    fast_path ───────────────────────────────► verdict
//!                        │ left as it came
//!                        ▼
//!                     classify ──► Reply · ToServer · Ended
//!        ┌───────────────┼─────────────┬──────────────┐
//!    Icmp│       SynRetry│       Orphan│      Schedule│
//!        ▼               ▼             ▼              │
//!  related_icmp      syn_retry ────► orphan           │
//!        │               │             │              │
//!        │               ├─────────────┼─────────────►│
//!        ▼               ▼             ▼              ▼
//!    ToServer        ToServer        Reset        schedule ──► Reply · NoServer · ToServer · Ended
//!    ProbeAnswer                     ResetServer      │
//!    Ended                           ToServer · Ended │
//!                                  ┌──────────────────┤
//!                            CallId│                  │
//!                                  ▼                  │
//!                     Ended ◄── call_id               │
//!                                  ├──────────────────┤
//!                        Persistent│                  │
//!                                  ▼                  │
//!                               recall ──────────────►│
//!                        NoTemplate│                  │
//!                                  ▼                  │
//!                             no_template ──► Reply · NoServer
//!                       NewTemplate│                  │
//!                                  ▼                  ▼Insert
//!                             new_template ────► client_route ──► Ended
//!                                                     │
//!                                                     ▼
//!                                                  insert ──► ToServer
//!                                       ┌─────────────┤
//!                            ReplySource│             │InsertConnection
//!                                       ▼             ▼
//!                Ended ◄── source_translation ──► insert_connection ──► ToServer
//!                                       │             ▲
//!                          InsertReplies▼             │
//!            once more ◄──── insert_replies ──────────┤TableFull
//!                                                     ▼
//!                                                  table_full ──► ToServer · Ended
//!
//!  ToServer ─────► source_translation, if the source is kept with the connection
//!                  to_server (direct, NAT) ──┬──► transmit ──► verdict
//!                  tunnel ───────────────────┤
//!  Reply ────────► reply ──► ToClient · ProbeAnswer · Ended
//!  ToClient ─────► client_route ─► to_client ┤
//!  ProbeAnswer ──► probe_answer ─────────────┘
//!  NoServer ─────► icmp_answer ──► verdict      too big, TTL used up, unreachable: from the three above, too
//!                                               too big without DF: fragmentation holds it instead
//!  Reset ────────► reset ────────► verdict
//!  ResetServer ──► reset ────────► ToServer · Reset
//!  Ended ────────► the verdict that the stage left; a fragment without ports is held and comes again
//!
//!  IcmpFragment, a later fragment, goes by icmp_fragment instead of related_icmp.
//!  What a control connection of FTP by NAT says passes ftp before ToServer or ToClient: InsertReplies and
//!  InsertConnection insert what it announces, and after Announced the packet itself goes on.
//!  TunnelError, of related_icmp: about no packet of a connection, but perhaps one in a tunnel, by tunnel_error.
//!
//!  classify asks filter about each packet of a connection whose client's packets are limited, schedule about each
//!  packet of none: both are Ended where it refuses.
//! ```
//!
//! The fast path leaves a packet to the stages before it changed anything, so they begin anew; it joins them
//! nowhere. It takes its service, its server, its entries and its tunnel from where the stages take them
//! (`service`, [`crate::scheduler`], [`crate::connection::table`], `tunnel`). Once the stages of a new or
//! known connection are over, `persistence::assure`, `sync_events::emit` and `filter::count_open` follow before the
//! packet is sent.

mod addr_filter;
mod call_id;
mod classify;
mod client_route;
mod connection_reuse;
mod context;
mod existing;
mod fast_path;
mod filter;
mod find;
mod fragmentation;
mod ftp;
mod icmp_answer;
mod icmp_error;
mod icmp_fragment;
mod inner_packet;
mod insert;
mod mark;
mod nat;
mod new_entry;
mod orphan;
pub mod packet_record;
mod persistence;
mod probe_answer;
mod related_icmp;
mod reply;
mod reset;
mod schedule;
mod service;
mod source_candidates;
mod source_check;
mod source_translation;
mod stage;
mod state_change;
mod stateless;
mod syn_retry;
pub mod sync_events;
mod timeout;
mod to_client;
mod to_server;
mod transmit;
mod transport;
mod tunnel;
mod tunnel_error;
mod unfinished;
mod upper_device;
mod work;

use icmp_error::IcmpError;

use crate::abi::Config;
use crate::connection::table::Store;
use crate::ethernet;
use crate::family::{V4, V6};
use crate::ftp::CONTROL;
use crate::network::Network;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::{Action, Reason, Verdict};
use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet};

pub use addr_filter::matches_filter;
pub use context::{Forward, Rewrite, Route, Source, Wire};
pub use find::{Connection, client, find};
pub use icmp_error::Answer;
pub(crate) use service::address_service;
pub use source_candidates::Candidates;
pub use stage::Stage;
pub use state_change::StateChange;
pub use work::{Work, Workspace};

/// Decides what becomes of a frame, and makes it so.
#[inline(always)]
pub fn forward<P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: &mut Workspace,
) -> Verdict {
    match plainly(packet, tables, || Some(&mut *workspace)) {
        Ok(verdict) => verdict,
        Err(_) => stages(packet, tables, workspace),
    }
}

/// Handles a packet by the fast path alone. `workspace` lends the room where a new connection is laid out.
///
/// # Errors
///
/// The packet is left as it came, to the stages of this family: those of IPv4 where the first ethertype does not
/// tell.
#[inline(always)]
pub fn plainly<'a, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: impl FnOnce() -> Option<&'a mut Workspace>,
) -> Result<Verdict, IpVersion> {
    let attempt = attempt(packet, tables, workspace);
    let mixed = || {
        tables
            .config()
            .is_some_and(|config| config.options & Config::MIXED != 0)
    };
    if P::BUFFER || attempt.is_sent() || !mixed() {
        attempt.result()
    } else {
        Ok(Verdict::pass(Reason::LeftToTc))
    }
}

/// The stages that a packet goes to at once, past the fast path. `None`: where some way out transmits no XDP frames a
/// frame is left to the TC program of the same interface, as [`plainly`] leaves it all that the fast path does not
/// send.
#[inline(always)]
pub fn first_stages<P: Packet, T: Tables>(packet: &P, tables: T) -> Option<IpVersion> {
    let mixed = tables
        .config()
        .is_some_and(|config| config.options & Config::MIXED != 0);
    if mixed && !P::BUFFER {
        return None;
    }
    let header = packet.header::<Ethernet>(0);
    let v6 = header.is_some_and(|header| header.ethertype.get() == ETHERTYPE_IPV6);
    Some(if v6 { IpVersion::V6 } else { IpVersion::V4 })
}

/// The result of the fast path, in one register: its verdict, or a small number for the stages that it is
/// left to.
#[derive(Clone, Copy)]
struct Outcome(u64);

impl Outcome {
    const LEFT_V4: Self = Self(0);
    const LEFT_V6: Self = Self(1);

    #[inline(always)]
    fn of(verdict: Option<Verdict>, left: Self) -> Self {
        verdict.map_or(left, |verdict| Self(verdict.to_bits()))
    }

    /// Returns whether the packet is sent or dropped: it may have been changed.
    #[inline(always)]
    fn is_sent(self) -> bool {
        self.result()
            .is_ok_and(|verdict| verdict.action() != Action::Pass)
    }

    #[inline(always)]
    fn result(self) -> Result<Verdict, IpVersion> {
        match self {
            Self(0) => Err(IpVersion::V4),
            Self(1) => Err(IpVersion::V6),
            Self(bits) => Verdict::from_bits(bits).ok_or(IpVersion::V4),
        }
    }
}

/// Tries the fast path on a packet.
#[inline(always)]
fn attempt<'a, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: impl FnOnce() -> Option<&'a mut Workspace>,
) -> Outcome {
    let ethertype = packet
        .header::<Ethernet>(0)
        .map_or(0, |header| header.ethertype.get());
    let (attempt, left) = match ethertype {
        ETHERTYPE_IPV4 => (
            fast_path::established::<V4, P, T>(packet, tables),
            Outcome::LEFT_V4,
        ),
        ETHERTYPE_IPV6 => (
            fast_path::established::<V6, P, T>(packet, tables),
            Outcome::LEFT_V6,
        ),
        _ => return Outcome::LEFT_V4,
    };
    if attempt != fast_path::Attempt::NEW_CONNECTION {
        return Outcome::of(attempt.verdict(), left);
    }
    let Some(workspace) = workspace() else {
        return left;
    };
    let first = match ethertype {
        ETHERTYPE_IPV4 => fast_path::new_connection::forward(packet, tables, &mut workspace.v4),
        // Linux 6.1 has no stack for this chain of calls.
        _ if P::BUFFER => None,
        _ => fast_path::new_connection::forward(packet, tables, &mut workspace.v6),
    };
    Outcome::of(first, left)
}

/// The stages of one of the two families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4, and what is neither.
    V4,
    /// IPv6.
    V6,
}

/// Handles a packet by the stages alone, which can do all that the fast path does.
#[inline(always)]
pub fn stages<P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    workspace: &mut Workspace,
) -> Verdict {
    match stages_of::<V4, P, T>(packet, tables, &mut workspace.v4) {
        Ok(verdict) => verdict,
        Err(OtherFamily) => stages_of::<V6, P, T>(packet, tables, &mut workspace.v6)
            .unwrap_or(Verdict::pass(Reason::NotIp)),
    }
}

/// Bytes in which the headers of nearly every packet lie, those inside an ICMP error included.
const HEADERS: usize = 640;

/// Nothing: the packet is of the other family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherFamily;

/// Handles a packet by the stages of one family, if it is not of the other.
///
/// # Errors
///
/// It is of the other; nothing was done.
#[inline(always)]
pub fn stages_of<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Result<Verdict, OtherFamily> {
    if P::BUFFER {
        // What is not there is found missing later.
        let _ = packet.pull(HEADERS);
    }
    let header = &mut work.forward.ethernet;
    if let Err(reason) = ethernet::parse(packet, header) {
        return Ok(Verdict::drop(reason));
    }
    let config = tables.config();
    let for_host = packet.for_host();
    let interface = packet.interface();
    if config.is_some_and(|config| !ethernet::is_own(for_host, config, &header.destination))
        && !(P::BUFFER && upper_device::is_addressed(tables, interface, header))
    {
        return Ok(Verdict::pass(Reason::OtherHost));
    }
    if !upper_device::has_device(tables, interface, header.vlans) {
        return Ok(Verdict::pass(Reason::OtherHost));
    }
    match header.ethertype {
        ethertype if ethertype == F::ETHERTYPE => Ok(internet(packet, tables, work)),
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Err(OtherFamily),
        _ => Ok(Verdict::pass(Reason::NotIp)),
    }
}

/// Chooses the source that a server behind NAT sees, and inserts the entry for its replies.
/// [`Stage::ReplySource`]: another connection was given that source meanwhile, or all that were tried are in use.
#[inline(always)]
fn source_for_replies<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &mut Work<F>,
    mut stage: Stage,
) -> Stage {
    if stage == Stage::ReplySource {
        stage = source_translation::choose(tables, work);
    }
    if stage == Stage::InsertReplies {
        return insert::insert_replies(tables, work);
    }
    stage
}

/// The stages of a persistent service's packet that begins a connection.
#[inline(always)]
fn persistent<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
    mut stage: Stage,
) -> Stage {
    if stage == Stage::CallId {
        stage = call_id::call_id(packet, tables, work);
    }
    if stage == Stage::Persistent {
        stage = persistence::recall(tables, work);
    }
    if stage == Stage::NoTemplate {
        stage = schedule::no_template(tables, work);
    }
    if stage == Stage::NewTemplate {
        stage = persistence::new_template(tables, work);
    }
    stage
}

/// The stages of a packet, one after the other: none keeps the stack of the one before.
#[inline(always)]
fn internet<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Verdict {
    let mut stage = classify::classify(packet, tables, work);
    if stage == Stage::Icmp {
        stage = related_icmp::related_icmp(packet, tables, work);
    }
    if stage == Stage::TunnelError {
        stage = tunnel_error::tunnel_error(packet, tables, work);
    }
    if stage == Stage::IcmpFragment {
        stage = icmp_fragment::icmp_fragment(tables, work);
    }
    if stage == Stage::SynRetry {
        stage = syn_retry::syn_retry(tables, work);
    }
    if stage == Stage::Orphan {
        stage = orphan::orphan(tables, work);
    }
    if stage == Stage::ResetServer {
        stage = reset::for_server(packet, work);
    }
    if stage == Stage::Schedule {
        stage = schedule::schedule(packet.routes(), tables, work);
    }
    stage = persistent(packet, tables, work, stage);
    if stage == Stage::Reply {
        stage = reply::reply(tables, work);
    }
    // What a control connection of FTP announces is inserted by the stages that follow.
    if matches!(stage, Stage::ToServer | Stage::ToClient) && work.key.ports.destination == CONTROL {
        stage = ftp::follow(packet, tables, work, stage);
    }
    if stage == Stage::Insert {
        stage = client_route::find(packet.routes(), tables, work);
    }
    if stage == Stage::Insert {
        stage = insert::insert(tables, work);
    }
    if matches!(stage, Stage::ReplySource | Stage::InsertReplies) {
        stage = source_for_replies(tables, work, stage);
    }
    // Another CPU gave the source to a connection at this very moment, which can be seen now.
    if stage == Stage::ReplySource {
        stage = source_for_replies(tables, work, stage);
    }
    if stage == Stage::ReplySource {
        stage = work.end(Verdict::drop(Reason::NoSource));
    }
    if stage == Stage::InsertConnection {
        stage = insert::insert_connection(tables, work);
    }
    if stage == Stage::TableFull {
        stage = stateless::table_full(tables, work);
    }
    if stage == Stage::Announced {
        stage = work.stage;
    }
    if stage == Stage::ToServer && work.forward.route.source == Source::Connection {
        stage = source_translation::recall(tables, work);
    }
    // Only these belong to a connection; to ask first spares the verifier both calls for every other stage.
    if matches!(stage, Stage::ToServer | Stage::ToClient) {
        if work.established {
            persistence::assure(tables, work);
        }
        if work.change.is_some() {
            sync_events::emit(tables, work);
        }
        if work.opened != 0 {
            filter::count_open(tables, work);
        }
    }
    if stage == Stage::ToClient {
        stage = client_route::ready(packet.routes(), tables, work, P::BUFFER);
    }
    let verdict = match stage {
        Stage::ToServer => to_server::to_server(packet, tables, &mut work.forward),
        Stage::ToClient => {
            let sent = to_client::to_client(packet, tables, &mut work.forward, &work.client);
            client_route::waiting(work, sent, Reason::NatReply)
        }
        Stage::NoServer => icmp_answer::answer(&mut work.forward, IcmpError::PortUnreachable),
        Stage::Reset => reset::send(packet, &work.forward),
        Stage::Reply | Stage::ProbeAnswer => probe_answer::probe_answer(packet, tables, work),
        Stage::Ended => work.verdict,
        Stage::Icmp
        | Stage::TunnelError
        | Stage::IcmpFragment
        | Stage::SynRetry
        | Stage::Orphan
        | Stage::ResetServer
        | Stage::Schedule
        | Stage::CallId
        | Stage::Persistent
        | Stage::NoTemplate
        | Stage::NewTemplate
        | Stage::Insert
        | Stage::ReplySource
        | Stage::InsertReplies
        | Stage::InsertConnection
        | Stage::Announced
        | Stage::TableFull => Verdict::pass(Reason::NoConnection),
    };
    conclude(packet, tables, work, verdict)
}

/// The end of a packet that its last stage leaves to be answered or held.
#[inline(always)]
fn conclude<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    work: &Work<F>,
    verdict: Verdict,
) -> Verdict {
    if verdict == Verdict::ANSWER {
        if fragmentation::fragment(packet, &work.forward) {
            return Verdict::drop(Reason::TooBigHeld);
        }
        return icmp_answer::send(packet, tables, &work.forward);
    }
    if verdict == Verdict::HOLD {
        return if packet.hold(0) {
            Verdict::drop(Reason::FragmentHeld)
        } else {
            Verdict::pass(Reason::StrayFragment)
        };
    }
    verdict
}
