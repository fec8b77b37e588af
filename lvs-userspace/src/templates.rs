//! Persistence templates stay while connections that they led to their server do.
//!
//! One that is about to expire is given another minute when such a connection outlives it. Who
//! belongs together is found out by the sweeps, so that packets need not keep count.

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_common::abi::{Address, ticks};
use lvs_common::connection::{Entry, Tag};
use lvs_common::family::Family;
use lvs_common::persistence::network;

use crate::connections::tag;
use crate::kernel::{Mapping, Plain};
use crate::sweep::left;

/// Templates are looked after from so many ticks before they expire: three sweeps, of which the first
/// notes them and the next one looks for their connections.
const SOON: u32 = ticks(3);
/// Ticks that connections give to their template.
const AGAIN: u32 = ticks(60);

/// What a template has in common with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Group {
    network: Address,
    service: u16,
}

/// A template that expires soon.
#[derive(Clone, Copy, Debug)]
struct Template {
    way: u32,
    tag: Tag,
    /// Clock tick at which it expires.
    end: u32,
    /// A connection that outlives it was met.
    needed: bool,
}

/// Templates that expire soon, as one sweep noted them and the next one finds them.
#[derive(Default)]
pub(crate) struct Ending(HashMap<Group, Template>);

impl Ending {
    /// Notes a live template that has so many ticks left.
    pub(crate) fn note<F: Family>(
        &mut self,
        table: &Mapping<Entry<F>>,
        way: u32,
        found: Tag,
        now: u32,
        left: u32,
    ) where
        Entry<F>: Plain,
    {
        if left > SOON {
            return;
        }
        let Some(Entry { key, record, .. }) = table.read(way) else {
            return;
        };
        let group = Group {
            network: F::widen(key.source),
            service: record.service,
        };
        let template = Template {
            way,
            tag: found,
            end: now.wrapping_add(left),
            needed: false,
        };
        self.0.insert(group, template);
    }

    /// Tells whose template a live connection with so many ticks left needs.
    pub(crate) fn need<F: Family>(
        &mut self,
        table: &Mapping<Entry<F>>,
        way: u32,
        now: u32,
        left: u32,
    ) where
        Entry<F>: Plain,
    {
        if self.0.is_empty() {
            return;
        }
        let Some(Entry { key, record, .. }) = table.read(way) else {
            return;
        };
        let Some(prefix) = record.persistence.checked_sub(1) else {
            return;
        };
        let group = Group {
            network: F::widen(network::<F>(key.source, prefix)),
            service: record.service,
        };
        if let Some(template) = self.0.get_mut(&group) {
            let remaining = template.end.wrapping_sub(now);
            // Beyond `SOON` the subtraction went below zero: it is over.
            template.needed |= remaining > SOON || left > remaining;
        }
    }

    /// Gives another minute to the templates that were found to be needed.
    pub(crate) fn extend<F: Family>(self, table: &Mapping<Entry<F>>, now: u32)
    where
        Entry<F>: Plain,
    {
        for template in self.0.into_values().filter(|template| template.needed) {
            let way = template.way;
            // Not one that expired or got a new connection, and with it its whole time, meanwhile.
            let same = tag(table, way)
                .is_some_and(|now| now.is_live() && now.same_connection(template.tag));
            if !same || left(table, way, now).is_none_or(|left| left > SOON) {
                continue;
            }
            let store = |offset, value| {
                if let Some(word) = table.word(way, offset) {
                    word.store(value, Ordering::Relaxed);
                }
            };
            // In this order it is at no time expired.
            store(offset_of!(Entry<F>, seen), now);
            store(offset_of!(Entry<F>, timeout), AGAIN);
        }
    }
}
