//! Sends one peer the difference between the tables and what it was sent last.
//!
//! For each entry of the tables it is kept what the peer was sent of it. A *scan* compares all entries with
//! that, once a second; the data path's events only say where to look at once. So nothing is lost for good,
//! whatever becomes of events, and a peer that is slow or was away is sent the present state, not everything
//! that happened meanwhile.
//!
//! A director sends only its own connections: those whose clients' packets arrived here. A replica of another
//! director's counts no packet here.

use std::collections::HashMap;

use lvs_common::abi::{self, Server, ticks};
use lvs_common::connection::template::{ASSURED, call};
use lvs_common::connection::{Entry, EntryId, Kind, Protocol, Servers as _, Tag};
use lvs_common::family::{Family, PerFamily, V4, V6};
use lvs_common::forward::sync_events::is_replicated;
use lvs_dataplane::kernel::EntryMapping;
use zerocopy::byteorder::network_endian::U16;

use super::record::{
    CALL_IDS_SINCE, EntryRecord, FrameRecord, LONG_NUMBERS_SINCE, LONGEST, Scan, ServerName,
};
use super::tables::Tables;

/// Bytes of a frame, but for the last record and messages. A receiver applies a frame in a millisecond or so.
const FRAME: usize = 32 << 10;
/// Entries that a scan compares in one turn.
const SCANNED: u32 = 1 << 17;

/// The last state of an entry that the peer was sent. All zero: none.
#[derive(Clone, Copy, Debug, Default)]
struct SentState {
    /// The tag as it was sent; busy: the entry is to be sent again.
    tag: Tag,
    /// The tick of the last packet that was sent.
    seen: u32,
}

/// Sends to one peer, in one session.
pub(super) struct Sender {
    sent: PerFamily<Vec<SentState>>,
    /// Real servers that were named, by number.
    names: HashMap<u32, ServerName>,
    /// The next place of a scan over both tables.
    scan: Option<u32>,
    /// Scans that were begun.
    scans: u32,
    /// Entries that were sent and exist.
    connections: u32,
    /// The peer knows templates of calls.
    calls: bool,
    /// The peer knows numbers of real servers that have more than 16 bits.
    long_numbers: bool,
}

/// Compares entries with what was sent of them, and writes the difference.
struct Comparison<'a> {
    tables: Tables<'a>,
    names: &'a mut HashMap<u32, ServerName>,
    connections: &'a mut u32,
    frame: &'a mut Vec<u8>,
    /// The packet at which a connection without a handshake is first sent.
    threshold: u32,
    /// The peer knows templates of calls.
    calls: bool,
    /// The peer knows numbers of real servers that have more than 16 bits.
    long_numbers: bool,
    /// The upper half of those numbers, as the frame has it so far.
    upper: u16,
    now: u32,
}

impl Sender {
    /// For a peer that was sent nothing and speaks this version of the protocol, from tables of so many entries.
    pub(super) fn new(sizes: PerFamily<u32>, version: u16) -> Self {
        Self {
            sent: sizes.map(|size| vec![SentState::default(); size as usize]),
            names: HashMap::new(),
            scan: None,
            scans: 0,
            connections: 0,
            calls: version >= CALL_IDS_SINCE,
            long_numbers: version >= LONG_NUMBERS_SINCE,
        }
    }

    /// Begins a scan, unless one is under way. Returns the number of the one that is.
    pub(super) fn begin_scan(&mut self) -> u32 {
        if self.scan.is_none() {
            self.scan = Some(0);
            self.scans += 1;
        }
        self.scans
    }

    /// True while a scan is under way.
    pub(super) const fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }

    /// Connections and templates that were sent and exist.
    pub(super) const fn connections(&self) -> u32 {
        self.connections
    }

    /// Share of the scan that is done, in percent.
    pub(super) fn progress(&self) -> u8 {
        let all = (self.sent.v4.len() + self.sent.v6.len()).max(1);
        let percent = self.scan.map_or(100, |place| place as usize * 100 / all);
        u8::try_from(percent).unwrap_or(100)
    }

    /// Sends an entry whole with the next comparison, or that it is removed, or another director's, whatever
    /// the peer was sent of it.
    pub(super) fn resend(&mut self, id: EntryId) {
        let sent = self.sent.of_mut(id.family());
        if let Some(sent) = sent.get_mut(id.index() as usize) {
            self.connections += u32::from(sent.tag.is_free());
            // A comparison passes busy ways by, so none finds this again.
            sent.tag = sent.tag.busy();
        }
    }

    /// Fills a frame with differences: of entries with events first, and of as much of the scan as fits. Events
    /// that did not fit are left.
    pub(super) fn fill(
        &mut self,
        tables: Tables<'_>,
        frame: &mut Vec<u8>,
        events: &mut Vec<EntryId>,
        now: u32,
    ) {
        let Some(config) = tables.config.read(0) else {
            return;
        };
        let sent = &mut self.sent;
        let mut comparison = Comparison {
            tables,
            names: &mut self.names,
            connections: &mut self.connections,
            frame,
            threshold: config.sync.threshold,
            calls: self.calls,
            long_numbers: self.long_numbers,
            upper: 0,
            now,
        };
        while comparison.has_room()
            && let Some(id) = events.pop()
        {
            comparison.compare(id, sent);
        }
        let Some(from) = self.scan else {
            return;
        };
        let number = self.scans.into();
        if from == 0 {
            let connections = (*comparison.connections).into();
            FrameRecord::ScanBegun(Scan {
                number,
                connections,
            })
            .write(comparison.frame);
        }
        let sizes = tables.entries.sizes();
        let stop = from.saturating_add(SCANNED);
        let mut place = from;
        while place < stop
            && comparison.has_room()
            && let Some(id) = EntryId::at(place, sizes)
        {
            comparison.compare(id, sent);
            place += 1;
        }
        self.scan = EntryId::at(place, sizes).map(|_| place);
        if self.scan.is_none() {
            let connections = (*comparison.connections).into();
            FrameRecord::ScanComplete(Scan {
                number,
                connections,
            })
            .write(comparison.frame);
        }
    }
}

impl Comparison<'_> {
    fn has_room(&self) -> bool {
        self.frame.len() < FRAME
    }

    /// Writes what is new of an entry.
    fn compare(&mut self, id: EntryId, sent: &mut PerFamily<Vec<SentState>>) {
        let sent = sent.of_mut(id.family()).get_mut(id.index() as usize);
        let (Some(sent), Some(found)) = (sent, self.tables.entries.tag(id)) else {
            return;
        };
        if found.is_busy() || (sent.tag == found && !self.is_refreshed(*sent, id)) {
            return;
        }
        if sent.tag.is_free() && !found.is_live() {
            return;
        }
        if id.is_ipv6() {
            self.compare_in(self.tables.entries.v6, sent, id, found);
        } else {
            self.compare_in(self.tables.entries.v4, sent, id, found);
        }
    }

    fn compare_in<F: RecordFamily>(
        &mut self,
        entries: &EntryMapping<F>,
        sent: &mut SentState,
        id: EntryId,
        found: Tag,
    ) {
        match self.find(entries, id, found, sent.tag) {
            Finding::Own(entry, tag, _) if sent.tag == tag => {
                let idle = abi::age(self.now, entry.seen);
                FrameRecord::Refresh { id, idle }.write(self.frame);
                sent.seen = entry.seen;
            }
            Finding::Own(entry, tag, source) => {
                self.write_upper(self.server_of(&entry));
                let mut record = self.entry_record(id, &entry, tag, source);
                if let Some(number) = call(&entry.key) {
                    // A moment ago it was known.
                    let call = self.tables.calls.call(number).unwrap_or_default();
                    record.source = F::narrow(&call.client);
                    record.source_port = U16::ZERO;
                    FrameRecord::CallId(call.id().unwrap_or_default()).write(self.frame);
                }
                F::record(&record).write(self.frame);
                *self.connections += u32::from(sent.tag.is_free());
                *sent = SentState {
                    tag,
                    seen: entry.seen,
                };
            }
            // Its director sends it.
            Finding::Foreign => {
                if sent.tag.is_busy() {
                    FrameRecord::Yielded(id).write(self.frame);
                } else if !sent.tag.is_free() && !sent.tag.same_connection(found) {
                    FrameRecord::Removed(id).write(self.frame);
                }
                self.forget(sent);
            }
            // The next comparison finds what it has become.
            Finding::Changing => {}
            Finding::Nothing => {
                if !sent.tag.is_free() {
                    FrameRecord::Removed(id).write(self.frame);
                }
                self.forget(sent);
            }
        }
    }

    fn forget(&mut self, sent: &mut SentState) {
        *self.connections -= u32::from(!sent.tag.is_free());
        *sent = SentState::default();
    }

    /// Finds what an entry is, of which the peer was sent the connection of the tag `sent`, if any.
    fn find<F: Family>(
        &mut self,
        entries: &EntryMapping<F>,
        id: EntryId,
        found: Tag,
        sent: Tag,
    ) -> Finding<F> {
        let Some(entry) = entries.read(id.index()).filter(|_| found.is_live()) else {
            return Finding::Nothing;
        };
        // The way may have been given to another connection while it was copied.
        let after = self.tables.entries.tag(id);
        let Some(tag) = after.filter(|tag| tag.is_live() && tag.same_connection(found)) else {
            return Finding::Changing;
        };
        let expired = abi::age(self.now, entry.seen) > entry.timeout;
        if expired || Kind::from_raw(entry.key.kind) == Kind::Reply {
            return Finding::Nothing;
        }
        if entry.packets == 0 {
            return Finding::Foreign;
        }
        let known = !sent.is_free() && sent.same_connection(tag);
        if self.is_worth_sending(&entry, tag.state(), known) && self.name(self.server_of(&entry)) {
            match translated_source(entries, &entry) {
                Some(source) => Finding::Own(entry, tag, source),
                None => Finding::Changing,
            }
        } else {
            Finding::Nothing
        }
    }

    fn entry_record<F: Family>(
        &self,
        id: EntryId,
        entry: &Entry<F>,
        tag: Tag,
        (translated_source, translated_port): (F::Address, U16),
    ) -> EntryRecord<F::Address> {
        EntryRecord {
            id: id.bits().into(),
            idle: abi::age(self.now, entry.seen).into(),
            timeout: entry.timeout.into(),
            source: entry.key.source,
            destination: entry.key.destination,
            source_port: entry.key.ports.source,
            destination_port: entry.key.ports.destination,
            protocol: entry.key.protocol,
            kind: entry.key.kind,
            server: lower_half(self.server_of(entry)),
            state: tag.state(),
            translated_port,
            translated_source,
            several_packets: u8::from(entry.packets > 1),
        }
    }

    /// True if another director is better off with an entry. A connection without a handshake is worth it
    /// from the packet on at which IPVS sends it: most have one or two.
    fn is_worth_sending<F: Family>(&self, entry: &Entry<F>, state: u8, known: bool) -> bool {
        // A Call-ID that is forgotten here is known to a peer that has the call.
        if let Some(number) = call(&entry.key)
            && !(self.calls && (known || self.tables.calls.call(number).is_some()))
        {
            return false;
        }
        if Kind::from_raw(entry.key.kind) == Kind::Template {
            return state == ASSURED;
        }
        match Protocol::from_number(entry.key.protocol) {
            Some(Protocol::Udp) => known || entry.packets >= self.threshold,
            Some(protocol) => is_replicated(protocol, state),
            None => false,
        }
    }

    /// True if a connection had packets that the peer should know of, so that it expires there no earlier.
    fn is_refreshed(&self, sent: SentState, id: EntryId) -> bool {
        if sent.tag.is_free() {
            return false;
        }
        let entries = self.tables.entries;
        let since = abi::age(entries.seen(id).unwrap_or(0), sent.seen);
        let due = (entries.timeout(id).unwrap_or(0) / 8).clamp(ticks(1), ticks(10));
        since >= due
    }

    /// Index of an entry's real server, which is its number.
    fn server_of<F: Family>(&self, entry: &Entry<F>) -> u32 {
        self.tables.loads.server_of(&entry.record)
    }

    /// Tells the upper half of a real server's number, unless the frame has it.
    fn write_upper(&mut self, number: u32) {
        let upper = upper_half(number);
        if self.upper != upper {
            self.upper = upper;
            FrameRecord::UpperHalf(upper).write(self.frame);
        }
    }

    /// Names a real server, unless it was; false: it is none any more, or the peer does not know such numbers.
    fn name(&mut self, number: u32) -> bool {
        if upper_half(number) != 0 && !self.long_numbers {
            return false;
        }
        let Some(server) = self.tables.servers.read(number) else {
            return false;
        };
        if server.flags & Server::DELETED != 0 || server.family == 0 {
            return false;
        }
        let plan = self.tables.active_plans.read(server.service);
        let plan = plan.filter(|&plan| plan != 0);
        let Some(plan) = plan.and_then(|plan| self.tables.plans.read(plan)) else {
            return false;
        };
        let name = ServerName::new(number, plan.key, server.address, server.port, server.family);
        if self.names.get(&number) != Some(&name) {
            self.write_upper(number);
            FrameRecord::Server(name).write(self.frame);
            self.names.insert(number, name);
        }
        true
    }
}

const fn upper_half(number: u32) -> u16 {
    (number >> 16) as u16
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn lower_half(number: u32) -> U16 {
    U16::new(number as u16)
}

/// Result of looking at an entry.
enum Finding<F: Family> {
    /// No entry that a peer should have.
    Nothing,
    /// Another director's.
    Foreign,
    /// Being changed at this moment.
    Changing,
    /// This director's own, and worth sending, with the source that its server sees.
    Own(Entry<F>, Tag, (F::Address, U16)),
}

/// The source as which a real server sees the client of a connection; port 0: the client's own. `None`: the entry of
/// its replies is not there at the moment.
fn translated_source<F: Family>(
    entries: &EntryMapping<F>,
    connection: &Entry<F>,
) -> Option<(F::Address, U16)> {
    if Kind::from_raw(connection.key.kind) != Kind::Request || !connection.record.is_translated() {
        return Some((F::narrow(&[0; 16]), U16::ZERO));
    }
    let (_, reply) = entries.read_live(connection.partner.checked_sub(1)?)?;
    let replies = Kind::from_raw(reply.key.kind) == Kind::Reply;
    replies.then_some((reply.key.destination, reply.key.ports.destination))
}

/// A family with an entry record of its own.
trait RecordFamily: Family {
    /// Its record.
    fn record(entry: &EntryRecord<Self::Address>) -> FrameRecord<'static>;
}

impl RecordFamily for V4 {
    fn record(entry: &EntryRecord<[u8; 4]>) -> FrameRecord<'static> {
        FrameRecord::Entry4(*entry)
    }
}

impl RecordFamily for V6 {
    fn record(entry: &EntryRecord<[u8; 16]>) -> FrameRecord<'static> {
        FrameRecord::Entry6(*entry)
    }
}

const _: () = assert!(FRAME + 4 * LONGEST < super::message::MAX_LENGTH);
