//! Persistence templates stay while connections that they led to their server do.
//!
//! One that is about to expire is given another minute when such a connection outlives it. Who
//! belongs together is found out by the sweeps, so that packets need not keep count: one sweep notes
//! the template, the next one looks for its connections and only then decides. However late sweeps
//! are, no template ends unlooked for; packets find it meanwhile for [`GRACE`] beyond its time.
//!
//! [`GRACE`]: lvs_common::connection::template::GRACE

use std::collections::HashMap;
use std::mem::offset_of;

use lvs_common::abi::{Address, CallNumber, ticks};
use lvs_common::connection::template::{call, network};
use lvs_common::connection::{Entry, EntryId, Record, Servers as _, Tag};
use lvs_common::family::Family;

use crate::kernel::{EntryMapping, ServerLoads};

/// Templates are looked after from so many ticks before they expire, so that nearly all are decided on
/// in time.
const SOON: u32 = ticks(3);
/// Ticks that connections give to their template.
const AGAIN: u32 = ticks(60);

/// Client network, or call, and service: what a template has in common with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ClientGroup {
    network: Address,
    call: Option<CallNumber>,
    service: u32,
}

impl ClientGroup {
    fn of_network<F: Family>(network: F::Address, service: u32) -> Self {
        Self {
            network: F::widen(network),
            call: None,
            service,
        }
    }

    fn of_call(call: CallNumber, service: u32) -> Self {
        Self {
            network: [0; 16],
            call: Some(call),
            service,
        }
    }
}

/// The call of a connection that has one.
pub(crate) type CallOf<'a> = dyn Fn(EntryId) -> Option<CallNumber> + 'a;

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
pub(crate) struct ExpiringTemplates(HashMap<ClientGroup, Template>);

impl ExpiringTemplates {
    /// Notes a template that has so many ticks left; `None`: its time is up.
    pub(crate) fn note<F: Family>(
        &mut self,
        table: &EntryMapping<F>,
        servers: &ServerLoads,
        way: u32,
        found: Tag,
        left: Option<u32>,
    ) {
        if left.is_some_and(|left| left > SOON) {
            return;
        }
        let Some(entry) = table.read(way) else {
            return;
        };
        let Entry { key, record, .. } = entry;
        let service = servers.service_of(&record);
        let group = match call(&key) {
            Some(call) => ClientGroup::of_call(call, service),
            None => ClientGroup::of_network::<F>(key.source, service),
        };
        let template = Template {
            way,
            tag: found,
            end: entry.seen.wrapping_add(entry.timeout),
            needed: false,
        };
        self.0.insert(group, template);
    }

    /// Marks the template that a live connection with so many ticks left needs.
    pub(crate) fn mark_needed<F: Family>(
        &mut self,
        table: &EntryMapping<F>,
        servers: &ServerLoads,
        calls: &CallOf<'_>,
        way: u32,
        now: u32,
        left: u32,
    ) {
        if self.0.is_empty() {
            return;
        }
        let Some(Entry { key, record, .. }) = table.read(way) else {
            return;
        };
        let group = match record.persistence {
            0 => return,
            Record::BY_CALL_ID => match calls(EntryId::new::<F>(way + 1)) {
                Some(call) => ClientGroup::of_call(call, servers.service_of(&record)),
                None => return,
            },
            more => {
                let network = network::<F>(key.source, more - 1);
                ClientGroup::of_network::<F>(network, servers.service_of(&record))
            }
        };
        if let Some(template) = self.0.get_mut(&group) {
            let remaining = template.end.wrapping_sub(now);
            // Beyond `SOON` the subtraction went below zero: it is over.
            template.needed |= remaining > SOON || left > remaining;
        }
    }

    /// Gives another minute to the templates that were found to be needed, and returns those of the
    /// others whose time is up.
    pub(crate) fn extend_needed<F: Family>(
        self,
        table: &EntryMapping<F>,
        now: u32,
    ) -> impl Iterator<Item = (u32, Tag)> {
        self.0.into_values().filter_map(move |template| {
            let way = template.way;
            let found = table
                .live(way)
                .filter(|now| now.same_connection(template.tag))?;
            let left = table.left(way, now);
            if !template.needed {
                return left.is_none().then_some((way, found));
            }
            // Not one that got a new connection, and with it its whole time, meanwhile.
            if left.is_none_or(|left| left <= SOON) {
                // In this order its time is at no moment up.
                table.store(way, offset_of!(Entry<F>, seen), now);
                table.store(way, offset_of!(Entry<F>, timeout), AGAIN);
            }
            None
        })
    }
}
