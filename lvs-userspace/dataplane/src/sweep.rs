//! Expires connections and templates, and frees abandoned ways.
//!
//! To a packet an expired entry is a miss already; the sweep accounts for it and makes room. It takes
//! part in the table's protocol like any packet: an entry is whoever's exchange of its tag wins, and
//! the winner accounts for exactly the state it replaced.

use std::collections::{BTreeSet, HashMap};
use std::mem::offset_of;

use lvs_common::abi::{MAX_SERVICES, Mac};
use lvs_common::connection::table::{by_number, remove};
use lvs_common::connection::{Client, Entry, Kind, Servers as _, Tag};
use lvs_common::family::Family;
use lvs_common::network::Network;

use crate::kernel::{Calls, ClientTable, EntryMapping, ServerLoads};
use crate::open_connections::OpenConnections;
use crate::table::{Table, claims};
use crate::templates::{CallOf, ExpiringTemplates};

/// Sweeps one table again and again.
#[derive(Default)]
pub struct Sweeper {
    /// Ways that looked abandoned in the last sweep, with the tag they had then. A claim lasts
    /// microseconds: a way that is still busy with the same tag a second later belongs to a process
    /// that was killed, and a reply whose connection is still missing has lost it.
    suspects: HashMap<u32, Tag>,
    expiring: ExpiringTemplates,
    /// The routes' generation.
    generation: u32,
    /// Entries that stayed in the last sweep, by the service that scheduled them.
    holdings: Vec<u32>,
    /// Ethernet addresses that replies of connections go to which stayed in the last sweep.
    client_macs: BTreeSet<Mac>,
    /// The last of them: most connections have the same.
    last_mac: Mac,
}

/// Counts of one sweep.
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
    /// Sets the generation that the kernel's routes have: see [`Client::generation`].
    pub fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }

    /// Entries that stayed in the last sweep, by the index of the service that scheduled them.
    pub fn holdings(&self) -> &[u32] {
        &self.holdings
    }

    /// Ethernet addresses that replies go to (NAT), of the connections that stayed in the last sweep.
    pub const fn client_macs(&self) -> &BTreeSet<Mac> {
        &self.client_macs
    }

    /// One pass over the table.
    pub fn sweep<F: Network>(
        &mut self,
        table: &EntryMapping<F>,
        loads: &ServerLoads,
        now: u32,
    ) -> Swept {
        self.sweep_table(table, loads, None, &|_| None, now)
    }

    /// The same; `open` counts the connections that limited clients have open, and `calls` has those of connections.
    pub fn sweep_counting<F: Network>(
        &mut self,
        table: &EntryMapping<F>,
        loads: &ServerLoads,
        counted: (&ClientTable, &mut OpenConnections),
        calls: &Calls,
        now: u32,
    ) -> Swept {
        let calls = |connection| calls.of_connection(connection);
        self.sweep_table(table, loads, Some(counted), &calls, now)
    }

    fn sweep_table<F: Network>(
        &mut self,
        table: &EntryMapping<F>,
        loads: &ServerLoads,
        mut open: Option<(&ClientTable, &mut OpenConnections)>,
        calls: &CallOf<'_>,
        now: u32,
    ) -> Swept {
        let mut swept = Swept::default();
        let accounting = Table::new(table, loads);
        let before = std::mem::take(&mut self.suspects);
        let mut expiring = std::mem::take(&mut self.expiring);
        self.holdings.clear();
        self.holdings.resize(MAX_SERVICES as usize, 0);
        self.client_macs.clear();
        self.last_mac = [0; 6];
        table.look_through(|way, found| {
            let kind = table.kind(way);
            let abandoned = if found.is_busy() {
                true
            } else if kind == Kind::Reply {
                !has_connection(table, way)
            } else {
                let left = table.left(way, now);
                if kind == Kind::Template {
                    swept.live += 1;
                    self.hold(table, loads, way);
                    self.expiring.note(table, loads, way, found, left);
                } else if let Some(left) = left {
                    swept.live += 1;
                    self.hold(table, loads, way);
                    expiring.mark_needed(table, loads, calls, way, now, left);
                    if let Some((clients, open)) = &mut open {
                        open.note(clients, table, loads, way);
                    }
                    self.forget_old_way(table, way);
                    self.note_mac(table.client_mac(way));
                } else if expire(accounting, way, found) {
                    swept.expired += 1;
                }
                return;
            };
            if !abandoned {
                swept.live += 1;
                self.hold(table, loads, way);
            } else if before.get(&way) == Some(&found) {
                // Of this process' own threads, who claimed it has given it up by then.
                let _claims = claims();
                if found.is_busy() || !has_connection(table, way) {
                    swept.abandoned +=
                        u64::from(table.exchange(way, found, found.leaving().freed()));
                }
            } else {
                self.suspects.insert(way, found);
            }
        });
        for (way, found) in expiring.extend_needed(table, now) {
            if expire(accounting, way, found) {
                swept.live -= 1;
                swept.expired += 1;
            }
        }
        swept
    }

    fn note_mac(&mut self, mac: Mac) {
        if mac != self.last_mac {
            self.last_mac = mac;
            self.client_macs.insert(mac);
        }
    }

    /// Counts an entry for the service that scheduled it.
    fn hold<F: Family>(&mut self, table: &EntryMapping<F>, loads: &ServerLoads, way: u32) {
        let (.., record) = table.route(way);
        let service = loads.service_of(&record) as usize;
        if let Some(held) = self.holdings.get_mut(service) {
            *held += 1;
        }
    }
}

impl Sweeper {
    /// Forgets the way to a client that is so old that its generation could come again.
    fn forget_old_way<F: Family>(&self, table: &EntryMapping<F>, way: u32) {
        let (generation, interface) = table.client(way);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is kept")]
        let age = (self.generation as u16).wrapping_sub(generation);
        if interface != 0 && age >= 1 << 15 {
            table.store(
                way,
                offset_of!(Entry<F>, client) + offset_of!(Client, interface),
                0,
            );
        }
    }
}

/// Removes a connection or template that still has this tag; false if somebody else was faster.
fn expire<F: Family>(table: Table<'_, F>, way: u32, found: Tag) -> bool {
    let slot = by_number::<F, _>(table, way + 1).filter(|slot| slot.tag == found);
    slot.is_some_and(|slot| remove::<F, _>(table, &slot))
}

/// True if a reply entry's connection still refers to it.
fn has_connection<F: Family>(table: &EntryMapping<F>, way: u32) -> bool {
    table.partner(way).is_some_and(|connection| {
        table.live(connection).is_some()
            && table.partner(connection) == Some(way)
            && table.kind(connection) != Kind::Reply
    })
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
