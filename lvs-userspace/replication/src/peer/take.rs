//! Takes what a peer tells into the own tables.
//!
//! An entry belongs to the director that saw its last packet. One that a peer told counts no packet here
//! until its client is heard; as long as that is so the peer may change it and end it. When the peer is
//! gone, what it told is this director's own, and is told to the others.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use lvs_common::abi::{Config, EVENT_IPV6, ServiceKey, age, event, ticks};
use lvs_common::connection::Entry;
use lvs_common::family::{Family, V4, V6};

use super::check::check;
use super::hold;
use super::item::{Item, Items, ServerName, Told};
use super::message::{Instance, Message};
use super::mirror::{Held, Mirror};
use super::refusal::Refusal;
use super::view::View;
use crate::sync::{BoundReplica, Discard, Discarded, Existing};
use lvs_dataplane::address::narrow;
use lvs_dataplane::director::Recognized;
use lvs_dataplane::kernel::{Mapping, Plain};
use lvs_dataplane::table::{Table, claims};

/// Of two directors that both saw packets of a connection, times this close count as the same: what is
/// told takes a moment to arrive.
const CLOSE: u32 = ticks(1);
/// Entries of one real server that are remembered because it is not there.
const REMEMBERED: usize = 65_536;
/// Entries of the peer that are looked after with each scan, so that it takes a few milliseconds.
const LOOKED_AFTER: usize = 32_768;

/// Finds a real server of the own by its name.
pub(super) trait Recognize {
    /// What is this director's own about its connections.
    fn recognize(&self, service: &ServiceKey, server: SocketAddr) -> Result<Recognized, Discard>;
}

/// What one peer told, in one session.
pub(super) struct Taker {
    ours: Instance,
    theirs: Instance,
    /// Entries of the peer's tables.
    ways: [u32; 2],
    /// Real servers by the peer's numbers.
    names: HashMap<u16, ServerName>,
    /// Entries that were refused because their real server is not there.
    refused: HashMap<u16, Vec<u32>>,
    /// Entries that were refused because this director's own were later: by the next scan it may have let go
    /// of them.
    older: Vec<u32>,
    /// Own entries that the peer has, too, but not as late.
    shared: HashSet<u32>,
    /// What an earlier session left, and when.
    before: Option<(Mirror, u32)>,
    mirror: Mirror,
    /// Where to go on looking for what is held no more.
    looked_after: usize,
    /// The highest number so far.
    place: u32,
    /// The last scan that was complete; 0: none.
    complete: u32,
}

/// What comes of a frame.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Numbers that the peer has to tell whole.
    pub(super) missing: Vec<u32>,
    /// Own entries that the peer has to be told of again: they are later than what it told, or gave way to it.
    pub(super) again: Vec<u32>,
    /// Own entries that hold now what the peer told.
    pub(super) taken: Vec<u32>,
    /// What the peer says beside.
    pub(super) messages: Vec<Message>,
    /// With this frame the first scan was complete.
    pub(super) joined: bool,
}

/// Where a frame goes.
struct Target<'a, R> {
    maps: View<'a>,
    config: Config,
    servers: &'a R,
    /// Those that were looked for already.
    known: HashMap<u16, Result<Recognized, Discard>>,
    discarded: &'a Discarded,
    /// Own entries that hold what was told.
    taken: Vec<u32>,
    now: u32,
}

impl Taker {
    /// Of a peer whose tables have so many entries, and what was held of it when it left.
    pub(super) fn new(
        ours: Instance,
        theirs: Instance,
        ways: [u32; 2],
        before: Option<(Mirror, u32)>,
    ) -> Self {
        Self {
            ours,
            theirs,
            ways,
            names: HashMap::new(),
            refused: HashMap::new(),
            older: Vec::new(),
            shared: HashSet::new(),
            before,
            mirror: Mirror::default(),
            looked_after: 0,
            place: 0,
            complete: 0,
        }
    }

    /// The last scan that was complete; 0: none yet.
    pub(super) const fn complete(&self) -> u32 {
        self.complete
    }

    /// Entries that are held.
    pub(super) const fn connections(&self) -> u32 {
        self.mirror.count()
    }

    /// How much of the peer's tables was told, in percent.
    pub(super) fn progress(&self) -> u8 {
        if self.complete > 0 {
            return 100;
        }
        let [v4, v6] = self.ways.map(u64::from);
        let number = u64::from(self.place & !EVENT_IPV6);
        let place = if self.place & EVENT_IPV6 == 0 {
            number
        } else {
            v4 + number
        };
        u8::try_from(place * 100 / (v4 + v6).max(1)).map_or(100, |percent| percent.min(100))
    }

    /// Takes a frame.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        maps: View<'_>,
        servers: &impl Recognize,
        discarded: &Discarded,
        now: u32,
    ) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        let Some(config) = maps.config.read(0) else {
            return Ok(outcome);
        };
        let mut target = Target {
            maps,
            config,
            servers,
            known: HashMap::new(),
            discarded,
            taken: Vec::new(),
            now,
        };
        let _claims = claims();
        for item in Items(frame) {
            match item? {
                Item::Server(name) => {
                    target.known.remove(&name.number.get());
                    self.names.insert(name.number.get(), name);
                }
                Item::Told4(told) => {
                    let own = self.told::<V4, _>(&told, maps.connections4, &mut target)?;
                    outcome.again.extend(own);
                }
                Item::Told6(told) => {
                    let own = self.told::<V6, _>(&told, maps.connections6, &mut target)?;
                    outcome.again.extend(own);
                }
                Item::Touched(touched) => {
                    let id = touched.id.get();
                    let seen = now.wrapping_sub(touched.idle.get());
                    if !hold::touch(maps, self.mirror.get(id), seen) {
                        outcome.missing.push(id);
                    }
                }
                Item::Gone(id) => {
                    let before = self.mirror.set(id, Held::default(), self.ways)?;
                    hold::end(maps, before, 0);
                }
                Item::Yielded(id) => self.yielded(id, maps)?,
                Item::Begun(_) => self.recall(servers, &mut outcome),
                Item::Complete(scan) => {
                    if self.complete == 0 {
                        outcome.joined = true;
                        self.settle(maps, now);
                    }
                    self.complete = scan.number.get().max(1);
                    self.look_after(maps, &mut outcome);
                }
                Item::Message(text) => {
                    let message = serde_json::from_slice(text).map_err(|_| Refusal::Item)?;
                    outcome.messages.push(message);
                }
                Item::Taken(_) | Item::Missing(_) => return Err(Refusal::Item),
            }
        }
        outcome.taken = target.taken;
        Ok(outcome)
    }

    /// The session is over: what the peer told is this director's own from now on. Returns what it was.
    pub(super) fn leave(&mut self, maps: View<'_>) -> Mirror {
        let mut mirror = std::mem::take(&mut self.mirror);
        // What had packets here was this director's own already.
        mirror.retain(|held| hold::adopt(maps, held));
        match self.before.take() {
            // It broke before it was known what is gone.
            Some((mut before, _)) => {
                before.overlay(mirror);
                before
            }
            None => mirror,
        }
    }

    /// Takes an entry; the number of the own one if that is later, or gave way.
    fn told<F: Family, R: Recognize>(
        &mut self,
        told: &Told<F::Address>,
        entries: &Mapping<Entry<F>>,
        target: &mut Target<'_, R>,
    ) -> Result<Option<u32>, Refusal>
    where
        Entry<F>: Plain,
    {
        let (id, number) = (told.id.get(), told.server.get());
        if (id & EVENT_IPV6 != 0) != (F::NUMBER == 6) {
            return Err(Refusal::Item);
        }
        self.place = self.place.max(id);
        let name = self.names.get(&number).ok_or(Refusal::Item)?;
        let servers = target.servers;
        let recognized = target
            .known
            .entry(number)
            .or_insert_with(|| recognize(name, servers));
        let before = self.mirror.get(id);
        let (contested, displaced) = (Cell::new(None), Cell::new(false));
        let entered = check::<F>(told, &name.service()).and_then(|key| {
            let replica = BoundReplica::new(key, told.state, told.timeout.get(), &(*recognized)?);
            let refuse = |there: Existing| {
                let why = self.refuse(there, F::NUMBER, before, (told.idle.get(), told.heard != 0));
                contested.set(why.map(|_| event(F::NUMBER, there.number)));
                displaced.set(why.is_none() && there.packets > 0 && !there.expired);
                why
            };
            let table = Table::new(entries, target.maps.loads);
            replica.apply(table, &target.config.secrets, target.now, refuse)
        });
        let held = match entered {
            Ok(inserted) => {
                let seen = target.now.wrapping_sub(told.idle.get());
                hold::set_seen(entries, inserted.number, seen);
                let id = event(F::NUMBER, inserted.number);
                target.taken.push(id);
                Held {
                    id,
                    tag: inserted.tag,
                    displaced: displaced.get(),
                }
            }
            Err(why) => {
                target.discarded.count(why);
                self.remember(number, id, why);
                Held::default()
            }
        };
        self.mirror.set(id, held, self.ways)?;
        if before.id != held.id || !before.tag.same_connection(held.tag) {
            hold::end(target.maps, before, 0);
        }
        if self.before.is_some() {
            self.shared.extend(contested.get());
        }
        Ok(contested.get().or(held.displaced.then_some(held.id)))
    }

    /// The peer gave way to what it was told under another number.
    fn yielded(&mut self, id: u32, maps: View<'_>) -> Result<(), Refusal> {
        let held = self.mirror.get(id);
        // If each gave way to the other, it is the first one's.
        if held.displaced && self.theirs < self.ours {
            return Ok(());
        }
        self.mirror.set(id, Held::default(), self.ways)?;
        if held.displaced {
            hold::adopt(maps, held);
        } else {
            // It gave way to one that ended here meanwhile.
            hold::end(maps, held, 0);
        }
        Ok(())
    }

    /// Why an entry stays as it is: its last packet came here.
    fn refuse(
        &self,
        there: Existing,
        family: u8,
        held: Held,
        (idle, heard): (u32, bool),
    ) -> Option<Discard> {
        let own = event(family, there.number);
        let theirs = there.packets == 0 && held.id == own;
        if there.expired || theirs {
            return None;
        }
        let later = there.idle.saturating_add(CLOSE) < idle;
        // Each thinks that it was the last: one of them has to give way.
        let close = there.idle <= idle.saturating_add(CLOSE) && there.packets > 0;
        // Who has adopted it yields to who has heard the client.
        let first = match (there.packets > 1, heard) {
            (true, false) => true,
            (false, true) => false,
            _ => self.ours < self.theirs,
        };
        (later || (close && first)).then_some(Discard::Fresher)
    }

    /// Notes what may be taken later.
    fn remember(&mut self, server: u16, id: u32, why: Discard) {
        let refused = match why {
            Discard::NoService | Discard::NoServer => self.refused.entry(server).or_default(),
            Discard::Fresher => &mut self.older,
            _ => return,
        };
        if refused.len() < REMEMBERED {
            refused.push(id);
        }
    }

    /// Asks again for what may be taken now.
    fn recall(&mut self, servers: &impl Recognize, outcome: &mut Outcome) {
        outcome.missing.append(&mut self.older);
        let names = &self.names;
        self.refused.retain(|number, ids| {
            let name = names.get(number);
            let there = name.is_some_and(|name| recognize(name, servers).is_ok());
            if there {
                outcome.missing.append(ids);
            }
            !there
        });
    }

    /// Asks again for what the peer told and has not ended, and is not held any more: something else than the
    /// peer ended it here. If the peer has it still, each is to know the same.
    fn look_after(&mut self, maps: View<'_>, outcome: &mut Outcome) {
        let (part, next) = self.mirror.part(self.looked_after, LOOKED_AFTER);
        self.looked_after = next;
        let lost = part
            .iter()
            .filter(|(_, held)| hold::seen(maps, *held).is_none());
        outcome.missing.extend(lost.map(|(id, _)| *id));
    }

    /// Everything was told: what was not is gone, unless it had packets here since the peer left.
    fn settle(&mut self, maps: View<'_>, now: u32) {
        let Some((before, left)) = self.before.take() else {
            return;
        };
        let shared = std::mem::take(&mut self.shared);
        for held in before.without(&self.mirror) {
            if shared.contains(&held.id) {
                continue;
            }
            let seen = hold::seen(maps, held);
            if seen.is_some_and(|seen| age(now, seen) >= age(now, left)) {
                // When the peer left it was counted one packet, see `hold::adopt`.
                hold::end(maps, held, 1);
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
