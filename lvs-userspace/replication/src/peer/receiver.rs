//! Applies what a peer sends to the own tables.
//!
//! An entry belongs to the director that saw its last packet. One that a peer sent counts no packet here
//! until one of its client arrives; until then the peer may update and remove it. When the peer is gone, its
//! replicas are this director's own, and are sent to the others.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use lvs_common::abi::{Config, ServiceKey, age, ticks};
use lvs_common::connection::EntryId;
use lvs_common::family::{Family, PerFamily};
use lvs_dataplane::address::narrow;
use lvs_dataplane::director::{Director, Recognized};
use lvs_dataplane::kernel::EntryMapping;
use lvs_dataplane::table::{Table, claims};
use zerocopy::byteorder::network_endian::U16;

use super::message::{Instance, Message};
use super::ownership;
use super::record::{EntryRecord, FrameRecord, FrameRecords, ServerName};
use super::refusal::Refusal;
use super::replica_index::{LocalEntry, ReplicaIndex};
use super::tables::Tables;
use super::validate::validate;
use crate::apply::{BoundReplica, Existing};
use crate::calls::keep_call;
use crate::discard::{Discard, DiscardCounters};

/// Last packets of a connection that two directors saw within so many ticks count as simultaneous: a record
/// takes a moment to arrive.
const SIMULTANEOUS: u32 = ticks(1);
/// Refused entries of one real server that are asked for again at most.
const MAX_REFUSED: usize = 65_536;
/// Entries of the peer that are looked up with each scan, so that it takes a few milliseconds.
const LOOKED_UP: u32 = 32_768;

/// Finds real servers of this director.
pub(super) trait Recognize {
    /// The virtual service and real server here that another director names.
    fn recognize(&self, service: &ServiceKey, server: SocketAddr) -> Result<Recognized, Discard>;
}

impl Recognize for Director {
    fn recognize(&self, service: &ServiceKey, server: SocketAddr) -> Result<Recognized, Discard> {
        Ok(self.recognize_named(service, server)?)
    }
}

/// Receives the entries of one peer, in one session.
pub(super) struct Receiver {
    ours: Instance,
    theirs: Instance,
    /// Entries of the peer's tables.
    sizes: PerFamily<u32>,
    /// Real servers by the peer's numbers.
    names: HashMap<u32, ServerName>,
    /// The peer's entries that were refused because their real server is not configured here, by its number.
    unbound: HashMap<u32, HashSet<EntryId>>,
    /// The real servers that they wait for.
    awaited: HashMap<EntryId, u32>,
    /// The peer's entries that found no room here.
    crowded_out: HashSet<EntryId>,
    /// The peer's entries that were refused because this director's own were fresher: by the next scan it may
    /// have removed them.
    outdated: Vec<EntryId>,
    /// Own entries that the peer has, too, with an older last packet.
    contested: HashSet<EntryId>,
    /// The index that an earlier session left, and the tick at which it did.
    before: Option<(ReplicaIndex, u32)>,
    index: ReplicaIndex,
    /// The place in the index to go on looking for entries that ended here.
    looked_up: u32,
    /// The last entry of the peer's tables so far.
    last: Option<EntryId>,
    /// The last scan that was complete; 0: none.
    complete: u32,
}

/// Outcome of a frame.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Entries of the peer that it has to send whole.
    pub(super) missing: Vec<EntryId>,
    /// Own entries that the peer has to be sent again: they are fresher than its own, or were displaced.
    pub(super) resend: Vec<EntryId>,
    /// Own entries that hold replicas now.
    pub(super) applied: Vec<EntryId>,
    /// Messages in it.
    pub(super) messages: Vec<Message>,
    /// With this frame the first scan was complete.
    pub(super) joined: bool,
}

/// Tables that a frame is applied to.
struct Target<'a, R> {
    tables: Tables<'a>,
    config: Config,
    servers: &'a R,
    /// Real servers that were looked up already, by the peer's numbers.
    recognized: HashMap<u32, Result<Recognized, Discard>>,
    /// The bits of real servers' numbers above the lower 16, of the records that follow in the frame.
    upper: u32,
    discarded: &'a DiscardCounters,
    /// Own entries that hold replicas now.
    applied: Vec<EntryId>,
    now: u32,
}

impl<R> Target<'_, R> {
    /// The number of a real server, by its lower half.
    fn number(&self, lower: U16) -> u32 {
        self.upper | u32::from(lower.get())
    }
}

impl Receiver {
    /// For a peer whose tables have so many entries, with the index that its last session left.
    pub(super) fn new(
        ours: Instance,
        theirs: Instance,
        sizes: PerFamily<u32>,
        before: Option<(ReplicaIndex, u32)>,
    ) -> Self {
        Self {
            ours,
            theirs,
            sizes,
            names: HashMap::new(),
            unbound: HashMap::new(),
            awaited: HashMap::new(),
            crowded_out: HashSet::new(),
            outdated: Vec::new(),
            contested: HashSet::new(),
            before,
            index: ReplicaIndex::default(),
            looked_up: 0,
            last: None,
            complete: 0,
        }
    }

    /// The last scan that was complete; 0: none yet.
    pub(super) const fn complete(&self) -> u32 {
        self.complete
    }

    /// Replicas that are held.
    pub(super) const fn connections(&self) -> u32 {
        self.index.count()
    }

    /// Entries of the peer that are not here for want of their real server, or of room.
    pub(super) fn not_taken(&self) -> u64 {
        (self.awaited.len() + self.crowded_out.len()) as u64
    }

    /// Share of the peer's tables that was received, in percent.
    pub(super) fn progress(&self) -> u8 {
        if self.complete > 0 {
            return 100;
        }
        let all = u64::from(self.sizes.v4) + u64::from(self.sizes.v6);
        let done = self.last.map_or(0, |id| {
            let before = if id.is_ipv6() { self.sizes.v4 } else { 0 };
            u64::from(before) + u64::from(id.number())
        });
        u8::try_from(done * 100 / all.max(1)).map_or(100, |percent| percent.min(100))
    }

    /// Applies a frame.
    pub(super) fn apply_frame(
        &mut self,
        frame: &[u8],
        tables: Tables<'_>,
        servers: &impl Recognize,
        discarded: &DiscardCounters,
        now: u32,
    ) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        let Some(config) = tables.config.read(0) else {
            return Ok(outcome);
        };
        let mut target = Target {
            tables,
            config,
            servers,
            recognized: HashMap::new(),
            upper: 0,
            discarded,
            applied: Vec::new(),
            now,
        };
        let _claims = claims();
        let mut next_call = None;
        for record in FrameRecords(frame) {
            let call = next_call.take();
            match record? {
                FrameRecord::Server(name) => {
                    let number = target.number(name.number);
                    target.recognized.remove(&number);
                    self.names.insert(number, name);
                }
                FrameRecord::UpperHalf(bits) => target.upper = u32::from(bits) << 16,
                FrameRecord::CallId(text) => next_call = Some(text),
                FrameRecord::Entry4(entry) => {
                    let own = self.apply_entry(&entry, call, tables.entries.v4, &mut target)?;
                    outcome.resend.extend(own);
                }
                FrameRecord::Entry6(entry) => {
                    let own = self.apply_entry(&entry, call, tables.entries.v6, &mut target)?;
                    outcome.resend.extend(own);
                }
                FrameRecord::Refresh { id, idle } => {
                    let (own, seen) = (self.index.get(id), now.wrapping_sub(idle));
                    if !own.is_some_and(|own| ownership::refresh(tables, own, seen)) {
                        outcome.missing.push(id);
                    }
                }
                FrameRecord::Removed(id) => {
                    self.forget_refused(id);
                    if let Some(own) = self.index.set(id, None, self.sizes)? {
                        ownership::remove(tables, own, 0);
                    }
                }
                FrameRecord::Yielded(id) => self.apply_yield(id, tables)?,
                FrameRecord::ScanBegun(_) => self.request_refused(servers, &mut outcome),
                FrameRecord::ScanComplete(scan) => {
                    if self.complete == 0 {
                        outcome.joined = true;
                        self.remove_vanished(tables, now);
                    }
                    self.complete = scan.number.get().max(1);
                    self.request_lost(tables, &mut outcome);
                }
                FrameRecord::Message(text) => {
                    outcome.messages.extend(Message::read(text)?);
                }
                FrameRecord::Acknowledged(_) | FrameRecord::Missing(_) => {
                    return Err(Refusal::Malformed);
                }
            }
        }
        outcome.applied = target.applied;
        Ok(outcome)
    }

    /// Ends the session: the peer's replicas are this director's own from now on. Returns their index.
    pub(super) fn close(&mut self, tables: Tables<'_>) -> ReplicaIndex {
        let mut index = std::mem::take(&mut self.index);
        // Those whose clients' packets arrived here were this director's own already.
        index.retain(|own| ownership::adopt(tables, own));
        match self.before.take() {
            // It ended before it was known what has vanished.
            Some((mut before, _)) => {
                before.overlay(index);
                before
            }
            None => index,
        }
    }

    /// Applies an entry; returns the own one if that is fresher, or was displaced.
    fn apply_entry<F: Family, R: Recognize>(
        &mut self,
        record: &EntryRecord<F::Address>,
        call_id: Option<&[u8]>,
        entries: &EntryMapping<F>,
        target: &mut Target<'_, R>,
    ) -> Result<Option<EntryId>, Refusal> {
        let (id, number) = (record.id()?, target.number(record.server));
        if id.family() != F::NUMBER {
            return Err(Refusal::Malformed);
        }
        self.last = self.last.max(Some(id));
        let name = self.names.get(&number).ok_or(Refusal::Malformed)?;
        let servers = target.servers;
        let recognized = target
            .recognized
            .entry(number)
            .or_insert_with(|| recognize(name, servers));
        let before = self.index.get(id);
        let (contested, displaced) = (Cell::new(None), Cell::new(false));
        let applied = validate::<F>(record, &name.service()).and_then(|mut key| {
            let timeout = record.timeout.get();
            let recognized = (*recognized)?;
            if let Some(call_id) = call_id {
                let calls = target.tables.calls;
                key = keep_call(&key, call_id, &recognized, &target.config.secrets, calls)?;
            }
            let replica = BoundReplica::new(key, record.state, timeout, &recognized)
                .with_source(record.translated_source, record.translated_port);
            let refuse = |existing: Existing| {
                let own = EntryId::new::<F>(existing.number);
                let peers = existing.packets == 0 && before.is_some_and(|before| before.id == own);
                let why = (!peers).then(|| self.refuse(existing, record)).flatten();
                contested.set(why.map(|_| own));
                displaced.set(why.is_none() && existing.packets > 0 && !existing.expired);
                why
            };
            let table = Table::new(entries, target.tables.loads);
            replica.apply(table, &target.config.secrets, target.now, refuse)
        });
        let own = match applied {
            Ok(inserted) => {
                self.forget_refused(id);
                let own = EntryId::new::<F>(inserted.number);
                let seen = target.now.wrapping_sub(record.idle.get());
                target.tables.entries.set_seen(own, seen);
                target.applied.push(own);
                Some(LocalEntry {
                    id: own,
                    tag: inserted.tag,
                    displaced: displaced.get(),
                })
            }
            Err(why) => {
                target.discarded.count(why);
                self.note_refused(number, id, why);
                None
            }
        };
        self.index.set(id, own, self.sizes)?;
        if let Some(before) = before
            && own.is_none_or(|own| own.id != before.id || !before.tag.same_connection(own.tag))
        {
            ownership::remove(target.tables, before, 0);
        }
        if self.before.is_some() {
            self.contested.extend(contested.get());
        }
        let displaced = own.filter(|own| own.displaced).map(|own| own.id);
        Ok(contested.get().or(displaced))
    }

    /// The peer gave an entry up for one that it was sent under another number.
    fn apply_yield(&mut self, id: EntryId, tables: Tables<'_>) -> Result<(), Refusal> {
        let own = self.index.get(id);
        let displaced = own.is_some_and(|own| own.displaced);
        // If each gave up its own, the connection is the first director's.
        if displaced && self.theirs < self.ours {
            return Ok(());
        }
        self.index.set(id, None, self.sizes)?;
        if let Some(own) = own {
            if displaced {
                ownership::adopt(tables, own);
            } else {
                // It gave its own up for one that ended here meanwhile.
                ownership::remove(tables, own, 0);
            }
        }
        Ok(())
    }

    /// Refuses a replica where this director has an entry of its own that saw the last packet.
    fn refuse<A>(&self, existing: Existing, record: &EntryRecord<A>) -> Option<Discard> {
        if existing.expired {
            return None;
        }
        let idle = record.idle.get();
        let later = existing.idle.saturating_add(SIMULTANEOUS) < idle;
        // Each thinks that it saw the last packet: one of them has to yield.
        let simultaneous =
            existing.idle <= idle.saturating_add(SIMULTANEOUS) && existing.packets > 0;
        // A director that adopted it yields to one that saw packets of the client.
        let first = match (existing.packets > 1, record.several_packets != 0) {
            (true, false) => true,
            (false, true) => false,
            _ => self.ours < self.theirs,
        };
        (later || (simultaneous && first)).then_some(Discard::Fresher)
    }

    /// Notes an entry that may be accepted later.
    fn note_refused(&mut self, server: u32, id: EntryId, why: Discard) {
        self.forget_refused(id);
        let refused = match why {
            Discard::NoService | Discard::NoServer => {
                self.awaited.insert(id, server);
                self.unbound.entry(server).or_default()
            }
            Discard::NoRoom | Discard::SourceTaken => &mut self.crowded_out,
            Discard::Fresher => {
                if self.outdated.len() < MAX_REFUSED {
                    self.outdated.push(id);
                }
                return;
            }
            _ => return,
        };
        if refused.len() < MAX_REFUSED {
            refused.insert(id);
        }
    }

    /// An entry was sent anew, or is removed.
    fn forget_refused(&mut self, id: EntryId) {
        self.crowded_out.remove(&id);
        if let Some(server) = self.awaited.remove(&id)
            && let Some(ids) = self.unbound.get_mut(&server)
        {
            ids.remove(&id);
        }
    }

    /// Asks again for entries that may be accepted now.
    fn request_refused(&mut self, servers: &impl Recognize, outcome: &mut Outcome) {
        outcome.missing.append(&mut self.outdated);
        let (names, awaited) = (&self.names, &mut self.awaited);
        self.unbound.retain(|number, ids| {
            let name = names.get(number);
            let configured = name.is_some_and(|name| recognize(name, servers).is_ok());
            if configured {
                for id in ids.drain() {
                    awaited.remove(&id);
                    outcome.missing.push(id);
                }
            }
            !configured
        });
    }

    /// Asks again for replicas that ended here though the peer did not end them. If the peer has them still,
    /// each is to hold the same.
    fn request_lost(&mut self, tables: Tables<'_>, outcome: &mut Outcome) {
        let (part, next) = self.index.part(self.looked_up, LOOKED_UP);
        self.looked_up = next;
        let lost = part
            .iter()
            .filter(|(_, own)| ownership::seen(tables, *own).is_none());
        outcome.missing.extend(lost.map(|(id, _)| *id));
    }

    /// After the first scan: removes replicas of an earlier session that were not sent again, unless packets of
    /// their clients arrived here since the peer left.
    fn remove_vanished(&mut self, tables: Tables<'_>, now: u32) {
        let Some((before, left)) = self.before.take() else {
            return;
        };
        let contested = std::mem::take(&mut self.contested);
        for own in before.without(&self.index) {
            if contested.contains(&own.id) {
                continue;
            }
            let seen = ownership::seen(tables, own);
            if seen.is_some_and(|seen| age(now, seen) >= age(now, left)) {
                // When the peer left it was counted one packet, see `ownership::adopt`.
                ownership::remove(tables, own, 1);
            }
        }
    }
}

fn recognize(name: &ServerName, servers: &impl Recognize) -> Result<Recognized, Discard> {
    if !matches!(name.family, 4 | 6) {
        return Err(Discard::Address);
    }
    let address = narrow(&name.address, name.family);
    servers.recognize(&name.service(), SocketAddr::new(address, name.port.get()))
}
