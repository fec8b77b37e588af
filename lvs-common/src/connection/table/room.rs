//! Room for a new entry: which of the entries in its two sets has to go, if one has to.

use super::find::by_number;
use super::new::{New, Survey};
use super::place::set_at;
use super::recycling::{EXPIRED, RECYCLABLE, crowded, is_whole, judge};
use super::remove::take_over;
use super::slot::entry_number;
use super::ways::{Store, Ways};
use crate::abi::WAYS;
use crate::connection::{MAX_HALF_OPEN, Tag};
use crate::family::Family;
use crate::walk::Step;

/// Looks at all ways of both sets, one a step.
#[repr(C, align(8))]
struct Surveyor<'a, F: Family, T> {
    table: T,
    first: u32,
    second: u32,
    fingerprint: u32,
    new: &'a mut New<F>,
}

impl<F: Family, T: Store<F>> Step for Surveyor<'_, F, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let number = set_at(self.first, self.second, turn);
        let Some(set) = self.table.set(number) else {
            return false;
        };
        let way = turn & (WAYS - 1);
        let tag = set.tag(way);
        let index = ((turn / WAYS) & 1) as usize;
        let found = &mut self.new.survey;
        if !tag.is_live() {
            if tag.is_free()
                && let Some(free) = found.free.get_mut(index)
            {
                *free += 1;
            }
            return true;
        }
        let half_open = u32::from(tag.is_half_open());
        if let Some(count) = found.half_open.get_mut(index) {
            *count += half_open;
        }
        // What may hold the very key is another inserter's: taking it would send the two packets of one flow to
        // two servers.
        if !tag.has_fingerprint(self.fingerprint) {
            judge::<F, T>(self.table, entry_number(number, way), turn, self.new);
        }
        true
    }
}

/// Sees that a new entry finds a way in one of its sets: a free one, or one that is taken from another entry where it
/// would find none or should not take it; that one is left in [`Survey::taken`]. False: there is no room for it.
#[inline(never)]
pub(super) fn make<F: Family, T: Store<F>>(
    table: T,
    first: u32,
    second: u32,
    fingerprint: u32,
    new: &mut New<F>,
) -> bool {
    let crowd = table.crowd().service(new.now);
    new.survey = Survey {
        crowd,
        confined: crowded::<F, T>(table, crowd, &new.record),
        ..Survey::default()
    };
    table.walk(
        2 * WAYS,
        &mut Surveyor {
            table,
            first,
            second,
            fingerprint,
            new,
        },
    );
    choose(new);
    let victim = new.survey.chosen;
    if victim < RECYCLABLE {
        return victim != 0;
    }
    let turn = (victim & 15) as u32;
    let number = entry_number(set_at(first, second, turn), turn & (WAYS - 1));
    if turn >= WAYS
        && let Some(first) = table.set(first)
    {
        // Before the claim: see `Races`.
        first.set_hint();
    }
    new.survey.taken = take::<F, T>(table, number, fingerprint);
    // Where somebody else was faster, there may be a free way all the same.
    true
}

/// Takes the way of an entry from it, for an entry with this fingerprint. Returns its new tag and the number of its
/// entry; 0: a packet, or somebody else, changed it at this moment.
///
/// The way may have changed hands since it was judged. An entry that [`tie`](super::tie) has yet to tie to its
/// connection must stay: its inserter, which owns its partner's number, would write that into the new owner's entry.
#[inline(always)]
fn take<F: Family, T: Store<F>>(table: T, number: u32, fingerprint: u32) -> u64 {
    let Some(slot) = by_number::<F, T>(table, number) else {
        return 0;
    };
    // Asked after the tag was read, which the exchange replaces: the answer is of the entry that goes.
    if slot.tag.has_fingerprint(fingerprint) || !is_whole::<F, T>(table, slot.set, slot.way, number)
    {
        return 0;
    }
    let mine: Tag = slot.tag.claimed(fingerprint);
    if !take_over::<F, T>(table, &slot, mine) {
        return 0;
    }
    u64::from(mine.0) << 32 | u64::from(number)
}

/// There is a free way already.
const FREE: u64 = 1;

/// Leaves the way that has to be recycled, or [`FREE`], in [`Survey::chosen`]; 0: there is no room. In memory: see
/// there.
#[inline(never)]
fn choose<F: Family>(new: &mut New<F>) {
    let Survey {
        victims: [first, second],
        half_open_victims: [half_open_first, half_open_second],
        free: [free_first, free_second],
        half_open: [in_first, in_second],
        confined,
        ..
    } = new.survey;
    let oldest = first.max(second);
    let half_open = half_open_first.max(half_open_second);
    // A service that holds more than its share lives on what it has.
    new.survey.chosen = if confined != 0 {
        oldest
    } else if new.half_open && in_first >= MAX_HALF_OPEN && half_open_first != 0 {
        half_open_first
    } else if free_first != 0 {
        FREE
    } else if first >= EXPIRED {
        first
    } else if new.half_open && in_second >= MAX_HALF_OPEN && half_open_second != 0 {
        half_open_second
    } else if free_second != 0 {
        FREE
    } else if new.half_open && in_first + in_second >= MAX_HALF_OPEN && half_open != 0 {
        // Few sets hold so many but in a flood of SYNs, which has to live on them.
        half_open
    } else {
        oldest
    };
}
