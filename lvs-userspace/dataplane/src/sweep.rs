//! Frees what is over in the connection tables.
//!
//! To a packet an expired entry is a miss already; the sweep accounts for it and makes room. It takes
//! part in the table's protocol like any packet: an entry is whoever's exchange of its tag wins, and
//! the winner accounts for exactly the state it replaced.

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_common::abi::{Load, age};
use lvs_common::connection::{Entry, Key, Kind, Protocol, Tag};
use lvs_common::family::Family;
use lvs_common::network::Network;

use crate::connections::tag;
use crate::kernel::{Mapping, Plain};
use crate::table::claims;
use crate::templates::Ending;
use crate::whereabouts::{MOST, is_unheard};

/// Sweeps one table again and again.
#[derive(Default)]
pub struct Sweeper {
    /// Ways that looked abandoned in the last sweep, with the tag they had then. A claim lasts
    /// microseconds: a way that is still busy with the same tag a second later belongs to a process
    /// that was killed, and a reply whose connection is still missing has lost it.
    suspects: HashMap<u32, Tag>,
    /// Persistence templates that expire soon.
    ending: Ending,
    unheard: Vec<u32>,
}

/// What one sweep met and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that stay.
    pub live: u64,
    /// Connections and templates that were expired.
    pub expired: u64,
    /// Abandoned ways that were freed.
    pub abandoned: u64,
}

impl Sweeper {
    /// Connections of the last sweep whose clients have yet to be found, some at least.
    pub fn unheard(&self) -> &[u32] {
        &self.unheard
    }

    /// One pass over the table.
    pub fn sweep<F: Network>(
        &mut self,
        table: &Mapping<Entry<F>>,
        loads: &Mapping<Load>,
        now: u32,
    ) -> Swept
    where
        Entry<F>: Plain,
    {
        let mut swept = Swept::default();
        let before = std::mem::take(&mut self.suspects);
        let mut ending = std::mem::take(&mut self.ending);
        self.unheard.clear();
        for way in 0..table.len() {
            let Some(found) = tag(table, way).filter(|tag| !tag.is_free()) else {
                continue;
            };
            let kind = kind(table, way);
            let abandoned = if found.is_busy() {
                true
            } else if kind == Kind::Reply {
                !has_connection(table, way)
            } else {
                let left = left(table, way, now);
                if kind == Kind::Template {
                    swept.live += 1;
                    self.ending.note(table, way, found, left);
                } else if let Some(left) = left {
                    swept.live += 1;
                    ending.need(table, way, now, left);
                    if self.unheard.len() < MOST && is_unheard(table, way) {
                        self.unheard.push(way);
                    }
                } else if expire(table, loads, way, found) {
                    swept.expired += 1;
                }
                continue;
            };
            if !abandoned {
                swept.live += 1;
            } else if before.get(&way) == Some(&found) {
                // Of this process' own threads, who claimed it has given it up by then.
                let _claims = claims();
                if found.is_busy() || !has_connection(table, way) {
                    swept.abandoned += u64::from(free(table, way, found));
                }
            } else {
                self.suspects.insert(way, found);
            }
        }
        for (way, found) in ending.settle(table, now) {
            if expire(table, loads, way, found) {
                swept.live -= 1;
                swept.expired += 1;
            }
        }
        swept
    }
}

/// Ticks until the entry expires; `None`: it was without a packet for longer than its timeout.
pub(crate) fn left<F: Family>(table: &Mapping<Entry<F>>, way: u32, now: u32) -> Option<u32>
where
    Entry<F>: Plain,
{
    let word = |offset| {
        table
            .word(way, offset)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    };
    word(offset_of!(Entry<F>, timeout)).checked_sub(age(now, word(offset_of!(Entry<F>, seen))))
}

/// What the entry stands for; means something while its tag says that it is live.
fn kind<F: Family>(table: &Mapping<Entry<F>>, way: u32) -> Kind
where
    Entry<F>: Plain,
{
    let protocol = offset_of!(Entry<F>, key) + offset_of!(Key<F>, protocol);
    // Protocol and kind are two bytes of one word.
    let word = table.word(way, protocol & !3);
    let bytes = word.map_or([0; 4], |word| word.load(Ordering::Relaxed).to_ne_bytes());
    Kind::from_raw(bytes.get((protocol & 3) + 1).copied().unwrap_or(0))
}

/// Whether a reply entry's connection still refers to it.
fn has_connection<F: Family>(table: &Mapping<Entry<F>>, way: u32) -> bool
where
    Entry<F>: Plain,
{
    let partner = partner(table, way).and_then(|partner| partner.checked_sub(1));
    partner.is_some_and(|connection| {
        tag(table, connection).is_some_and(Tag::is_live)
            && partner_way(table, connection) == Some(way)
            && kind(table, connection) != Kind::Reply
    })
}

fn partner<F: Family>(table: &Mapping<Entry<F>>, way: u32) -> Option<u32>
where
    Entry<F>: Plain,
{
    let word = table.word(way, offset_of!(Entry<F>, partner))?;
    Some(word.load(Ordering::Relaxed))
}

/// Entries are numbered from 1 in `partner`; 0 stands for none.
fn partner_way<F: Family>(table: &Mapping<Entry<F>>, way: u32) -> Option<u32>
where
    Entry<F>: Plain,
{
    partner(table, way)?.checked_sub(1)
}

/// Ends a connection or template with the state it has; false if somebody else was faster.
fn expire<F: Family>(table: &Mapping<Entry<F>>, loads: &Mapping<Load>, way: u32, found: Tag) -> bool
where
    Entry<F>: Plain,
{
    let leaving = found.leaving();
    if !exchange(table, way, found, leaving) {
        return false;
    }
    // Ours until its tag says otherwise.
    let entry = table.read(way);
    if let Some(entry) = entry {
        account(loads, &entry, found.state());
        if let Some(reply) = entry.partner.checked_sub(1) {
            free_reply(table, reply, way);
        }
    }
    exchange(table, way, leaving, leaving.freed());
    true
}

/// Takes a connection off its server's load.
fn account<F: Family>(loads: &Mapping<Load>, entry: &Entry<F>, state: u8) {
    let server = u32::from(entry.record.server);
    match (
        Kind::from_raw(entry.key.kind),
        Protocol::from_number(entry.key.protocol),
    ) {
        (Kind::Request, Some(protocol)) => {
            let share = if protocol.active(state) {
                Load::ACTIVE
            } else {
                Load::INACTIVE
            };
            if let Some(counts) = loads.double_word(server, offset_of!(Load, counts)) {
                counts.fetch_sub(share, Ordering::Relaxed);
            }
        }
        (Kind::Template, _) => {
            if let Some(templates) = loads.word(server, offset_of!(Load, templates)) {
                templates.fetch_sub(1, Ordering::Relaxed);
            }
        }
        (Kind::Request, None) | (Kind::Reply, _) => {}
    }
}

/// Frees the reply entry of a connection that is gone, if the way still is its.
fn free_reply<F: Family>(table: &Mapping<Entry<F>>, way: u32, connection: u32)
where
    Entry<F>: Plain,
{
    let Some(found) = tag(table, way).filter(|tag| tag.is_live()) else {
        return;
    };
    if kind(table, way) == Kind::Reply && partner_way(table, way) == Some(connection) {
        // Whoever reused the way since `found` was read has changed the generation in its tag.
        free(table, way, found);
    }
}

/// Frees a way that nobody accounts for.
fn free<F: Family>(table: &Mapping<Entry<F>>, way: u32, found: Tag) -> bool
where
    Entry<F>: Plain,
{
    exchange(table, way, found, found.leaving().freed())
}

fn exchange<F: Family>(table: &Mapping<Entry<F>>, way: u32, expected: Tag, new: Tag) -> bool
where
    Entry<F>: Plain,
{
    table
        .word(way, offset_of!(Entry<F>, tag))
        .is_some_and(|word| {
            word.compare_exchange(expected.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
