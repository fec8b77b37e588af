//! Ownership of entries that hold replicas of a peer's, and how they end.
//!
//! An entry that counts no packet belongs to the peer that sent it. Packets change the same words at any
//! time: each change here is one store or one exchange of a tag, and the worst that a packet of the same
//! moment makes of it is that its connection changes hands once more.

use lvs_common::connection::Tag;
use lvs_common::connection::table::{by_number, remove as remove_slot};
use lvs_common::family::Family;
use lvs_dataplane::table::Table;

use super::replica_index::LocalEntry;
use super::tables::Tables;

/// Notes a packet that the peer saw at this tick. False: the entry is not the peer's any more.
pub(super) fn refresh(tables: Tables<'_>, entry: LocalEntry, seen: u32) -> bool {
    let owned = is_peers(tables, entry);
    if owned {
        tables.entries.set_seen(entry.id, seen);
    }
    owned
}

/// Makes an entry of the peer's this director's own, as if one packet of its client had arrived here. False:
/// it was already.
pub(super) fn adopt(tables: Tables<'_>, entry: LocalEntry) -> bool {
    let owned = is_peers(tables, entry);
    if owned {
        tables.entries.set_packets(entry.id, 1);
    }
    owned
}

/// Removes an entry, unless more than so many packets of its client arrived here.
pub(super) fn remove(tables: Tables<'_>, entry: LocalEntry, packets: u32) {
    fn remove<F: Family>(table: Table<'_, F>, number: u32, tag: Tag) {
        if let Some(slot) = by_number::<F, _>(table, number)
            && slot.tag.same_connection(tag)
        {
            remove_slot::<F, _>(table, &slot);
        }
    }
    if !counts_at_most(tables, entry, packets) {
        return;
    }
    let (number, entries) = (entry.id.number(), tables.entries);
    if entry.id.is_ipv6() {
        remove(Table::new(entries.v6, tables.loads), number, entry.tag);
    } else {
        remove(Table::new(entries.v4, tables.loads), number, entry.tag);
    }
}

/// The tick of its last packet; `None`: it is gone.
pub(super) fn seen(tables: Tables<'_>, entry: LocalEntry) -> Option<u32> {
    counts_at_most(tables, entry, u32::MAX)
        .then(|| tables.entries.seen(entry.id))
        .flatten()
}

fn is_peers(tables: Tables<'_>, entry: LocalEntry) -> bool {
    counts_at_most(tables, entry, 0)
}

/// True while it is the same connection, of whose client at most so many packets arrived here.
fn counts_at_most(tables: Tables<'_>, entry: LocalEntry, packets: u32) -> bool {
    let entries = tables.entries;
    let tag = entries.tag(entry.id);
    let counted = entries.packets(entry.id);
    tag.is_some_and(|tag| tag.is_live() && tag.same_connection(entry.tag))
        && counted.is_some_and(|counted| counted <= packets)
}
