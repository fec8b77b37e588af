//! Entries of the own tables that hold what a peer told: who they belong to, and how they end.
//!
//! Packets change the same words at any time. Each change here is one store or one exchange of a tag, and
//! the worst that a packet of the same moment makes of it is that its connection changes hands once more.

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_common::abi::EVENT_IPV6;
use lvs_common::connection::table::{by_number, remove};
use lvs_common::connection::{Entry, Tag};
use lvs_common::family::Family;

use super::mirror::Held;
use super::view::View;
use lvs_dataplane::connections::tag;
use lvs_dataplane::kernel::{Mapping, Plain};
use lvs_dataplane::table::Table;

/// Notes the tick of the last packet that the peer saw of an entry, by its number plus one.
pub(super) fn set_seen<F: Family>(entries: &Mapping<Entry<F>>, number: u32, seen: u32)
where
    Entry<F>: Plain,
{
    let way = number.wrapping_sub(1);
    store(entries, way, offset_of!(Entry<F>, seen), seen);
}

/// Notes a packet that the peer saw at this tick. False: it is not held as the peer's.
pub(super) fn touch(maps: View<'_>, held: Held, seen: u32) -> bool {
    fn touch<F: Family>(entries: &Mapping<Entry<F>>, held: Held, seen: u32) -> bool
    where
        Entry<F>: Plain,
    {
        let way = way(entries, held, 0);
        if let Some(way) = way {
            store(entries, way, offset_of!(Entry<F>, seen), seen);
        }
        way.is_some()
    }
    if held.id & EVENT_IPV6 == 0 {
        touch(maps.connections4, held, seen)
    } else {
        touch(maps.connections6, held, seen)
    }
}

/// It is nobody's any more: it becomes this director's own, as if it had heard the client once. False: it was
/// already.
pub(super) fn adopt(maps: View<'_>, held: Held) -> bool {
    fn adopt<F: Family>(entries: &Mapping<Entry<F>>, held: Held) -> bool
    where
        Entry<F>: Plain,
    {
        let way = way(entries, held, 0);
        if let Some(way) = way {
            store(entries, way, offset_of!(Entry<F>, packets), 1);
        }
        way.is_some()
    }
    if held.id & EVENT_IPV6 == 0 {
        adopt(maps.connections4, held)
    } else {
        adopt(maps.connections6, held)
    }
}

/// The tag of a way whose connection or template a peer told.
pub(super) fn told<F: Family>(entries: &Mapping<Entry<F>>, way: u32) -> Option<Tag>
where
    Entry<F>: Plain,
{
    let tag = tag(entries, way).filter(|tag| tag.is_live())?;
    let packets = load(entries, way, offset_of!(Entry<F>, packets))?;
    (packets == 0).then_some(tag)
}

/// Removes it, unless its client has sent more than so many packets here.
pub(super) fn end(maps: View<'_>, held: Held, packets: u32) {
    fn end<F: Family>(entries: &Mapping<Entry<F>>, maps: View<'_>, held: Held, packets: u32)
    where
        Entry<F>: Plain,
    {
        let table = Table::new(entries, maps.loads);
        if let Some(way) = way(entries, held, packets)
            && let Some(slot) = by_number::<F, _>(table, way + 1)
            && slot.tag.same_connection(held.tag)
        {
            remove::<F, _>(table, &slot);
        }
    }
    if held.id & EVENT_IPV6 == 0 {
        end(maps.connections4, maps, held, packets);
    } else {
        end(maps.connections6, maps, held, packets);
    }
}

/// The tick of its last packet.
pub(super) fn seen(maps: View<'_>, held: Held) -> Option<u32> {
    fn seen<F: Family>(entries: &Mapping<Entry<F>>, held: Held) -> Option<u32>
    where
        Entry<F>: Plain,
    {
        let way = way(entries, held, u32::MAX)?;
        load(entries, way, offset_of!(Entry<F>, seen))
    }
    if held.id & EVENT_IPV6 == 0 {
        seen(maps.connections4, held)
    } else {
        seen(maps.connections6, held)
    }
}

/// Its way, as long as it is the same connection and its client has sent no more packets than so many.
fn way<F: Family>(entries: &Mapping<Entry<F>>, held: Held, packets: u32) -> Option<u32>
where
    Entry<F>: Plain,
{
    let way = (held.id & !EVENT_IPV6).checked_sub(1)?;
    let tag = tag(entries, way)?;
    let own = load(entries, way, offset_of!(Entry<F>, packets))?;
    (tag.is_live() && tag.same_connection(held.tag) && own <= packets).then_some(way)
}

fn load<F: Family>(entries: &Mapping<Entry<F>>, way: u32, offset: usize) -> Option<u32>
where
    Entry<F>: Plain,
{
    let word = entries.word(way, offset)?;
    Some(word.load(Ordering::Relaxed))
}

fn store<F: Family>(entries: &Mapping<Entry<F>>, way: u32, offset: usize, value: u32)
where
    Entry<F>: Plain,
{
    if let Some(word) = entries.word(way, offset) {
        word.store(value, Ordering::Relaxed);
    }
}
