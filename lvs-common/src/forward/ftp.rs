//! FTP behind NAT: data connections get their entries once a control connection announces them, as from `ip_vs_ftp`.
//!
//! | announced by | entries in state LISTEN | replaced by |
//! |---|---|---|
//! | PORT, EPRT | both: the server opens it, from the port below its own | the same |
//! | replies to PASV, EPSV | one with client port 0, which no client uses | those of what the client opens |
//!
//! An entry of a data connection has [`Record::TRANSLATED`]: what the real server sees stands in that of its replies,
//! here the server's own port, which is not that of its service.

use zerocopy::byteorder::network_endian::U16;

use super::find::{again, find};
use super::stage::Stage;
use super::timeout::timeout;
use super::work::Work;
use crate::abi::{Method, Plan, Server};
use crate::checksum::{Sum, SumChange};
use crate::connection::table::{self, Inserted, New, Refused, Store, Survey, Ways};
use crate::connection::{Key, Ports, Protocol, Record, Signal, tcp};
use crate::diagnosis::Finding;
use crate::ftp::{self, ADDRESS_TEXT, DATA, FIRST_PORT, Message, Reader, VERB};
use crate::network::{Network, Part};
use crate::packet::{MAX_OFFSET, Packet};
use crate::scheduler::NO_SERVER;
use crate::tables::{Tables, Traffic};
use crate::walk::Step;
use crate::wire::{TCP_CHECKSUM, TCP_OFFSET};

/// Bytes of a message at most.
const LONGEST: u32 = 256;
/// State of an announced connection.
const LISTEN: u8 = tcp::State::Listen as u8;

/// Bit of [`Work::says`]: [`Work::new`] is a connection that the packet announces, not its own.
const CONNECTION: u8 = 1;
/// Bit of [`Work::says`]: the message names the address of the real server, which its client is not to see.
const ADDRESS: u8 = 2;

/// Returns whether what is to be inserted is a connection that the packet announces.
#[inline(always)]
pub(super) const fn announces<F: Network>(work: &Work<F>) -> bool {
    work.says & CONNECTION != 0
}

/// Reads what a packet of a control connection by NAT says, of which [`Work::key`] is the client's, before it is sent
/// on. [`Stage::Announced`]: nothing that is to be inserted.
#[inline(never)]
pub(super) fn follow<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
    stage: Stage,
) -> Stage {
    work.stage = stage;
    let by_server = stage == Stage::ToClient;
    let nat = by_server || work.forward.route.method == Method::Nat;
    // What establishes a connection of a persistent service has its record in the work.
    if !nat
        || work.forward.protocol != Some(Protocol::Tcp)
        || work.established
        || !read(packet, tables, work, by_server).unwrap_or(false)
    {
        return Stage::Announced;
    }
    // The verifier is to know no more of it than what lies in memory.
    tables.fence();
    announce(tables, work);
    tables.fence();
    if work.says & ADDRESS != 0 {
        // What is not there was read a moment ago.
        let _ = readdress(packet, tables, work);
    }
    if !announces(work) || !forget(tables, work) {
        work.says = 0;
        return Stage::Announced;
    }
    replies(tables, work)
}

/// Place of the data of a TCP segment.
#[inline(always)]
fn data<F: Network, P: Packet>(packet: &P, work: &Work<F>) -> Option<usize> {
    let transport = work.forward.datagram.transport;
    let [offset, _]: [u8; 2] = *packet.header(transport + TCP_OFFSET)?;
    let words = usize::from(offset >> 4);
    // Nothing of the header itself is data.
    (words >= 5).then_some(transport + (words << 2))
}

/// Reads the message that a segment begins with. False: none that announces something.
#[inline(never)]
fn read<F: Network, P: Packet, T: Tables>(
    packet: &P,
    tables: T,
    work: &mut Work<F>,
    by_server: bool,
) -> Option<bool> {
    let datagram = &work.forward.datagram;
    let end = datagram.end.min(MAX_OFFSET + 1);
    let start = data(packet, work)?;
    if datagram.part != Part::Whole || start + VERB > end {
        return None;
    }
    let verb: [u8; VERB] = *packet.header(start)?;
    let message = if by_server {
        Message::of_server(verb)
    } else {
        Message::of_client(verb)
    };
    work.ftp = Reader::new(message?, F::NUMBER);
    #[expect(clippy::cast_possible_truncation, reason = "offsets are small")]
    let mut reading = Reading {
        packet,
        reader: &mut work.ftp,
        next: (start + VERB) as u32,
        end: end as u32,
    };
    tables.walk(LONGEST, &mut reading);
    Some(work.ftp.message().is_some())
}

/// The walk over a message: a byte each turn.
#[repr(C, align(8))]
struct Reading<'a, P> {
    packet: &'a P,
    reader: &'a mut Reader,
    next: u32,
    end: u32,
}

impl<P: Packet> Step for Reading<'_, P> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let place = self.next.wrapping_add(turn);
        if place >= self.end {
            return false;
        }
        // With the byte before it: see `Header`.
        let Some([_, byte]) = self
            .packet
            .header::<[u8; 2]>((place as usize).wrapping_sub(1))
        else {
            return false;
        };
        self.reader.read(*byte)
    }
}

/// Lays out the entry of the data connection that a message announces, if it may: [`CONNECTION`].
#[inline(never)]
fn announce<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) {
    work.says = lay_out(tables, work).unwrap_or(0);
}

#[inline(always)]
fn lay_out<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Option<u8> {
    let control = again(tables, work)?;
    let record = control.record;
    let client = control.slot.set.client(control.slot.way);
    let server = tables.server(tables.server_of(&record))?;
    let plan = tables.plan(tables.service_of(&record))?;
    if Method::from_raw(record.method) != Method::Nat || !ftp::serves(&plan.key) {
        return None;
    }
    let address = F::narrow(&server.address);
    let reader = &work.ftp;
    let message = reader.message()?;
    let readdressed = message == Message::Passive && reader.names::<F>(address);
    // Nobody announces what is another one's: no bounce (RFC 2577).
    let own = match message {
        // By full NAT the server would have to open it to the source that it sees.
        Message::Port | Message::ExtendedPort => {
            reader.names::<F>(work.key.source) && server.source_pool == 0
        }
        Message::Passive => readdressed || reader.names::<F>(work.key.destination),
        Message::ExtendedPassive => true,
    };
    if !own {
        return None;
    }
    let ports = if message.is_passive() {
        Ports {
            source: U16::ZERO,
            destination: reader.port(),
        }
    } else {
        Ports {
            source: reader.port(),
            destination: DATA,
        }
    };
    let kept = Record::COUNTED | Record::PACED | Record::ASYMMETRIC;
    work.new = New {
        key: Key { ports, ..work.key },
        record: record.with(
            record.method & kept | Record::TRANSLATED | plan.timeout_bit(),
            0,
        ),
        client,
        partner: table::alone(work.forward.now),
        state: LISTEN,
        half_open: true,
        pinned: !message.is_passive(),
        now: work.forward.now,
        timeout: 0,
        survey: Survey::default(),
    };
    work.new.timeout = listening(tables, work.new.record);
    work.reply = Inserted::NONE;
    Some(CONNECTION | if readdressed { ADDRESS } else { 0 })
}

/// Removes an entry of what is announced once more, which begins anew. False: it is under way. The message was repeated,
/// or several clients share an address.
#[inline(never)]
fn forget<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> bool {
    work.forward.hash = work.new.key.hash(tables);
    let Some(before) = find(tables, &work.new.key, work.forward.now) else {
        return true;
    };
    let under_way = before.slot.tag.state() == tcp::State::Established as u8;
    if under_way || !is_of_ftp(tables, &before.record) {
        return false;
    }
    table::remove::<F, T>(tables, &before.slot);
    true
}

/// Returns whether a connection may be an announced one: of a service of control connections, and with its own source.
#[inline(always)]
fn is_of_ftp<T: Tables>(tables: T, record: &Record) -> bool {
    record.is_translated()
        && tables
            .plan(tables.service_of(record))
            .is_some_and(|plan| ftp::serves(&plan.key))
}

/// Lays out the entry of the replies, if the server opens what is announced.
#[inline(never)]
fn replies<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let record = &work.new.record;
    let server = tables.server(tables.server_of(record));
    let plan = tables.plan(tables.service_of(record));
    let (Some(server), Some(plan)) = (server, plan) else {
        return Stage::Announced;
    };
    if !work.new.pinned {
        return Stage::InsertConnection;
    }
    work.new.into_replies(server);
    work.new.key.ports.source = ftp::server_port(&plan.key, server.port, DATA);
    Stage::InsertReplies
}

/// The timeout of an announced connection.
#[inline(always)]
fn listening<T: Tables>(tables: T, record: Record) -> u32 {
    timeout(tables, record, Protocol::Tcp, LISTEN)
}

/// Lays out the announced connection itself, once the entry of its replies is inserted. One that the client opens has
/// none yet, and is laid out already.
#[inline(never)]
pub(super) fn prepare<F: Network, T: Tables>(tables: T, work: &mut Work<F>) {
    if work.reply.number == 0 {
        return;
    }
    let ports = Ports {
        source: work.new.key.ports.destination,
        destination: DATA,
    };
    work.new.key = Key { ports, ..work.key };
    work.new.partner = work.reply.number;
    work.new.state = LISTEN;
    work.new.timeout = listening(tables, work.new.record);
}

/// Counts an announced connection that was inserted; that which the client opens is counted then.
#[inline(always)]
pub(super) fn count<F: Network, T: Tables>(tables: T, work: &Work<F>) -> Stage {
    if work.reply.number != 0 {
        let record = &work.new.record;
        let (service, server) = (tables.service_of(record), tables.server_of(record));
        tables.count_in(service, server, NO_TRAFFIC, true);
    }
    Stage::Announced
}

/// Notes that an announced connection finds no room; one that exists was announced twice.
#[inline(always)]
pub(super) fn not_announced<F: Network, T: Tables>(
    tables: T,
    work: &Work<F>,
    refused: Refused,
) -> Stage {
    if refused == Refused::Exists {
        return Stage::Announced;
    }
    tables.found(Finding::NotAnnounced, tables.service_of(&work.new.record));
    Stage::Announced
}

const NO_TRAFFIC: Traffic = Traffic {
    packets: 0,
    bytes: 0,
};

/// Writes the virtual address in the place of the server's into its reply to PASV, which stays as long as it is.
#[inline(never)]
fn readdress<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Option<()> {
    let start = data(packet, work)?;
    let [a, b, c, d, ..] = F::widen(work.key.destination);
    work.ftp.begin_address();
    tables.walk(
        4,
        &mut Writing {
            numbers: u32::from_be_bytes([a, b, c, d]),
            reader: &mut work.ftp,
        },
    );
    tables.fence();
    let comma = work.ftp.comma() as usize & MAX_OFFSET;
    let place = (start + comma).checked_sub(ADDRESS_TEXT)?;
    let old: [u8; ADDRESS_TEXT] = *packet.header(place)?;
    let Some(new) = work.ftp.readdressed(old) else {
        tables.found(Finding::NoRoomForAddress, work.service);
        return None;
    };
    *packet.header_mut(place)? = new;
    let change = Sum::default().remove_wide(&old).add_wide(&new);
    let change = SumChange {
        addresses: Sum::default(),
        ports: if comma & 1 == 0 {
            change
        } else {
            change.at_odd()
        },
        optional: false,
        wide: F::NUMBER == 6,
    };
    packet.change_sum(work.forward.datagram.transport + TCP_CHECKSUM, &change)
}

/// Writes the numbers of an address, one each turn.
#[repr(C, align(8))]
struct Writing<'a> {
    numbers: u32,
    reader: &'a mut Reader,
}

impl Step for Writing<'_> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "one byte")]
    fn step(&mut self, turn: u32) -> bool {
        self.reader
            .write((self.numbers >> (24_u32.wrapping_sub(8 * turn) & 31)) as u8);
        true
    }
}

/// Finds the server that a SYN to a virtual address is for because it was announced; then the work has its service.
/// [`NO_SERVER`]: there is none.
#[inline(never)]
pub(super) fn announced<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> u32 {
    let port = work.key.ports.destination;
    let any = tables
        .config()
        .is_some_and(|config| config.ftp_services != 0);
    let syn = work.forward.signal == Signal::Tcp(tcp::Event::Syn);
    if !any || !syn || port.get() < FIRST_PORT {
        return NO_SERVER;
    }
    work.new.key = announced_key(&work.key);
    let found = find(tables, &work.new.key, work.forward.now);
    // A client may have begun a connection by port 0 itself.
    let Some(found) =
        found.filter(|found| found.slot.tag.state() == LISTEN && is_of_ftp(tables, &found.record))
    else {
        return NO_SERVER;
    };
    let index = tables.server_of(&found.record);
    let server = tables.server(index);
    if server.is_none_or(|server| server.flags & Server::GONE != 0) {
        return NO_SERVER;
    }
    work.service = tables.service_of(&found.record);
    work.number = found.slot.number;
    index
}

/// The key of an announced connection that a client opens with this one.
#[inline(always)]
const fn announced_key<F: Network>(key: &Key<F>) -> Key<F> {
    Key {
        ports: Ports {
            source: U16::ZERO,
            destination: key.ports.destination,
        },
        ..*key
    }
}

/// Begins the announced connection that [`announced`] found: another one has to be announced anew.
#[inline(never)]
pub(super) fn open<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    if let Some(slot) = table::by_number::<F, T>(tables, work.number)
        && slot.set.holds(slot.way, &work.new.key)
    {
        table::remove::<F, T>(tables, &slot);
    }
    work.send_to(work.data_server, Method::Nat);
    Stage::Insert
}

/// Returns whether a connection that was found is an announced one, which no other server can take.
#[inline(always)]
pub(super) fn is_data<F: Network>(plan: &Plan, record: &Record, key: &Key<F>) -> bool {
    record.is_translated() && ftp::is_data(&plan.key, key.ports.destination)
}
