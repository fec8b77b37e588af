//! What one peer has to be told: the difference between the tables and what it was told last.
//!
//! For each way of the tables a mark keeps what the peer knows of it. A *scan* compares all ways with
//! their marks, once a second; the data path's events only say where to look at once. So nothing is lost
//! for good, whatever becomes of events, and a peer that is slow or was away is told what is, not
//! everything that happened meanwhile.
//!
//! A director tells only of its own connections: those whose clients it heard itself. What came from
//! another director has counted no packet here.

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_common::abi::{self, EVENT_IPV6, Server, event, ticks};
use lvs_common::connection::{Entry, Kind, Protocol, Tag};
use lvs_common::family::{Family, V4, V6};
use lvs_common::forward::announce::worth_telling;
use lvs_common::persistence::ASSURED;

use super::item::{Item, LONGEST, Scan, ServerName, Told, Touched};
use super::view::View;
use lvs_dataplane::kernel::Entries;

/// Bytes of a frame, but for the last item and messages. A receiver takes a frame in a millisecond or so.
const FRAME: usize = 32 << 10;
/// Ways looked at in one turn.
const WAYS: u32 = 1 << 17;

/// What the peer knows of a way. All zero: nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// The tag as it was told.
    tag: u32,
    /// The tick of the last packet that was told.
    seen: u32,
}

/// Tells one peer, in one session.
pub(super) struct Teller {
    marks4: Vec<Mark>,
    marks6: Vec<Mark>,
    /// Real servers that were named, by number.
    names: HashMap<u16, ServerName>,
    /// The next way of a scan over both tables, one after the other.
    scan: Option<u32>,
    /// Scans that were begun.
    scans: u32,
    /// Connections that were told and are there.
    connections: u32,
}

/// Where a look goes and what is known there.
struct Look<'a> {
    maps: View<'a>,
    names: &'a mut HashMap<u16, ServerName>,
    connections: &'a mut u32,
    frame: &'a mut Vec<u8>,
    /// At this packet a connection without a handshake is told first.
    threshold: u32,
    now: u32,
}

impl Teller {
    /// Of a peer that knows nothing, from tables of so many entries.
    pub(super) fn new(ways: [u32; 2]) -> Self {
        let [marks4, marks6] = ways.map(|ways| vec![Mark::default(); ways as usize]);
        Self {
            marks4,
            marks6,
            names: HashMap::new(),
            scan: None,
            scans: 0,
            connections: 0,
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

    /// Whether a scan is under way.
    pub(super) const fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }

    /// Connections and templates that were told and are there.
    pub(super) const fn connections(&self) -> u32 {
        self.connections
    }

    /// How far the scan is, in percent.
    pub(super) fn progress(&self) -> u8 {
        let all = (self.marks4.len() + self.marks6.len()).max(1);
        let percent = self.scan.map_or(100, |place| place as usize * 100 / all);
        u8::try_from(percent).unwrap_or(100)
    }

    /// What has this number is told whole at the next look, or that it is gone, or another's, whatever the
    /// peer knows of it.
    pub(super) fn repeat(&mut self, id: u32) {
        let index = (id & !EVENT_IPV6).wrapping_sub(1) as usize;
        let marks = if id & EVENT_IPV6 == 0 {
            &mut self.marks4
        } else {
            &mut self.marks6
        };
        if let Some(mark) = marks.get_mut(index) {
            self.connections += u32::from(mark.tag == 0);
            // A look passes busy ways by, so none finds this again.
            mark.tag = Tag(mark.tag).busy().0;
        }
    }

    /// Fills a frame with what is to be told: where events say so first, and as much of the scan as fits.
    /// Events that did not fit are left.
    pub(super) fn fill(
        &mut self,
        maps: View<'_>,
        frame: &mut Vec<u8>,
        events: &mut Vec<u32>,
        now: u32,
    ) {
        let Some(config) = maps.config.read(0) else {
            return;
        };
        let mut look = Look {
            maps,
            names: &mut self.names,
            connections: &mut self.connections,
            frame,
            threshold: config.sync.threshold,
            now,
        };
        while look.has_room()
            && let Some(event) = events.pop()
        {
            let Some(way) = (event & !EVENT_IPV6).checked_sub(1) else {
                continue;
            };
            if event & EVENT_IPV6 == 0 {
                look.at::<V4>(maps.connections4, &mut self.marks4, way);
            } else {
                look.at::<V6>(maps.connections6, &mut self.marks6, way);
            }
        }
        let Some(from) = self.scan else {
            return;
        };
        let number = self.scans.into();
        if from == 0 {
            let connections = (*look.connections).into();
            Item::Begun(Scan {
                number,
                connections,
            })
            .write(look.frame);
        }
        let [v4, v6] = maps.ways();
        let end = v4.saturating_add(v6);
        let stop = from.saturating_add(WAYS).min(end);
        let mut place = from;
        while place < stop && look.has_room() {
            match place.checked_sub(v4) {
                None => look.at::<V4>(maps.connections4, &mut self.marks4, place),
                Some(way) => look.at::<V6>(maps.connections6, &mut self.marks6, way),
            }
            place += 1;
        }
        self.scan = (place < end).then_some(place);
        if self.scan.is_none() {
            let connections = (*look.connections).into();
            Item::Complete(Scan {
                number,
                connections,
            })
            .write(look.frame);
        }
    }
}

impl Look<'_> {
    fn has_room(&self) -> bool {
        self.frame.len() < FRAME
    }

    /// Tells what is new about a way.
    fn at<F: TellFamily>(&mut self, entries: &Entries<F>, marks: &mut [Mark], way: u32) {
        let (Some(mark), Some(found)) = (marks.get_mut(way as usize), entries.tag(way)) else {
            return;
        };
        if found.is_busy() || (mark.tag == found.0 && !is_refreshed(entries, *mark, way)) {
            return;
        }
        if mark.tag == 0 && !found.is_live() {
            return;
        }
        let id = event(F::NUMBER, way + 1);
        match self.fate(entries, way, found, Tag(mark.tag)) {
            Fate::Known(entry, tag) if mark.tag == tag.0 => {
                let idle = abi::age(self.now, entry.seen).into();
                let id = id.into();
                Item::Touched(Touched { id, idle }).write(self.frame);
                mark.seen = entry.seen;
            }
            Fate::Known(entry, tag) => {
                F::item(&self.whole(id, &entry, tag)).write(self.frame);
                *self.connections += u32::from(mark.tag == 0);
                *mark = Mark {
                    tag: tag.0,
                    seen: entry.seen,
                };
            }
            // Whoever has it now tells of it.
            Fate::Foreign => {
                let known = Tag(mark.tag);
                if known.is_busy() {
                    Item::Yielded(id).write(self.frame);
                } else if mark.tag != 0 && !known.same_connection(found) {
                    Item::Gone(id).write(self.frame);
                }
                self.unmark(mark);
            }
            // The next look will tell.
            Fate::Changing => {}
            Fate::Nothing => {
                if mark.tag != 0 {
                    Item::Gone(id).write(self.frame);
                }
                self.unmark(mark);
            }
        }
    }

    fn unmark(&mut self, mark: &mut Mark) {
        *self.connections -= u32::from(mark.tag != 0);
        *mark = Mark::default();
    }

    /// What the matter is with a way whose peer knows the connection of this tag, if any.
    fn fate<F: Family>(
        &mut self,
        entries: &Entries<F>,
        way: u32,
        found: Tag,
        known: Tag,
    ) -> Fate<F> {
        let Some(entry) = entries.read(way).filter(|_| found.is_live()) else {
            return Fate::Nothing;
        };
        // The way may have been given to another connection while it was copied.
        let after = entries
            .tag(way)
            .filter(|tag| tag.is_live() && tag.same_connection(found));
        let Some(tag) = after else {
            return Fate::Changing;
        };
        let over = abi::age(self.now, entry.seen) > entry.timeout;
        if over || Kind::from_raw(entry.key.kind) == Kind::Reply {
            return Fate::Nothing;
        }
        if entry.packets == 0 {
            return Fate::Foreign;
        }
        let known = known.0 != 0 && known.same_connection(tag);
        if self.is_worth(&entry, tag.state(), known) && self.name(entry.record.server) {
            Fate::Known(entry, tag)
        } else {
            Fate::Nothing
        }
    }

    fn whole<F: Family>(&self, id: u32, entry: &Entry<F>, tag: Tag) -> Told<F::Address> {
        Told {
            id: id.into(),
            idle: abi::age(self.now, entry.seen).into(),
            timeout: entry.timeout.into(),
            source: entry.key.source,
            destination: entry.key.destination,
            source_port: entry.key.ports.source,
            destination_port: entry.key.ports.destination,
            protocol: entry.key.protocol,
            kind: entry.key.kind,
            server: entry.record.server.into(),
            state: tag.state(),
            heard: u8::from(entry.packets > 1),
        }
    }

    /// Whether another director is better off with an entry. A connection without a handshake is worth it
    /// from the packet on that IPVS tells it at: most have one or two.
    fn is_worth<F: Family>(&self, entry: &Entry<F>, state: u8, known: bool) -> bool {
        if Kind::from_raw(entry.key.kind) == Kind::Template {
            return state == ASSURED;
        }
        match Protocol::from_number(entry.key.protocol) {
            Some(Protocol::Udp) => known || entry.packets >= self.threshold,
            Some(protocol) => worth_telling(protocol, state),
            None => false,
        }
    }

    /// Names a real server, unless it was; false: it is none any more.
    fn name(&mut self, number: u16) -> bool {
        let Some(server) = self.maps.servers.read(number.into()) else {
            return false;
        };
        if server.flags & Server::DELETED != 0 || server.family == 0 {
            return false;
        }
        let plan = self.maps.heads.read(server.service);
        let plan = plan.filter(|&plan| plan != 0);
        let Some(plan) = plan.and_then(|plan| self.maps.plans.read(plan)) else {
            return false;
        };
        let name = ServerName::new(number, plan.key, server.address, server.port, server.family);
        if self.names.get(&number) != Some(&name) {
            Item::Server(name).write(self.frame);
            self.names.insert(number, name);
        }
        true
    }
}

/// Whether a connection had packets that the peer should know of, to let it live as long as it does here.
fn is_refreshed<F: Family>(entries: &Entries<F>, mark: Mark, way: u32) -> bool {
    if mark.tag == 0 {
        return false;
    }
    let word = |offset| {
        entries
            .word(way, offset)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    };
    let since = abi::age(word(offset_of!(Entry<F>, seen)), mark.seen);
    since >= ticks(1)
        && since >= (word(offset_of!(Entry<F>, timeout)) / 8).clamp(ticks(1), ticks(10))
}

/// What the matter is with a way.
enum Fate<F: Family> {
    /// Nothing is there that a peer should have.
    Nothing,
    /// It belongs to another director.
    Foreign,
    /// It is changing hands at this moment.
    Changing,
    /// A connection that a peer should have.
    Known(Entry<F>, Tag),
}

/// A family whose entries can be told.
trait TellFamily: Family {
    /// As an item.
    fn item(told: &Told<Self::Address>) -> Item<'static>;
}

impl TellFamily for V4 {
    fn item(told: &Told<[u8; 4]>) -> Item<'static> {
        Item::Told4(*told)
    }
}

impl TellFamily for V6 {
    fn item(told: &Told<[u8; 16]>) -> Item<'static> {
        Item::Told6(*told)
    }
}

const _: () = assert!(FRAME + 4 * LONGEST < super::message::MAX_LENGTH);
