//! The Maglev table of mh, slot by slot as IPVS fills it, so that directors agree.

use std::net::IpAddr;

use lvs_common::siphash;

use super::{Candidate, common_divisor, position};

/// IPVS's default size, a prime.
const SIZE: u32 = 4_093;
/// Half the bits of an index of a table this size: limits the turns of one round.
const TURN_BITS: u32 = 6;
/// IPVS's fixed keys (both words of each).
const OFFSET_KEY: u64 = 2_654_435_761;
const SKIP_KEY: u64 = 2_654_446_892;

/// A member's way through the table: an arithmetic progression modulo a prime visits every slot.
struct Preference {
    next: u32,
    skip: u32,
    turns: u32,
}

/// Members fill the table in turns: each takes its next preferred slot that is still free.
///
/// What counts is the last weight that was not 0: a quiesced member keeps its slots, so that nobody
/// else's clients are moved.
pub(super) fn table(candidates: &[Candidate]) -> Vec<u16> {
    let divisor = common_divisor(candidates.iter().map(|member| member.last_weight));
    let heaviest = candidates
        .iter()
        .map(|member| member.last_weight)
        .max()
        .unwrap_or(0);
    if heaviest == 0 {
        return Vec::new();
    }
    let shift = (u32::BITS - (heaviest / divisor).leading_zeros()).saturating_sub(TURN_BITS);
    let mut preferences: Vec<Preference> = candidates
        .iter()
        .map(|member| Preference {
            next: hash(member, OFFSET_KEY) % SIZE,
            skip: hash(member, SKIP_KEY) % (SIZE - 1) + 1,
            turns: match (member.last_weight / divisor) >> shift {
                0 => u32::from(member.last_weight != 0),
                turns => turns,
            },
        })
        .collect();
    let mut slots: Vec<Option<u16>> = vec![None; SIZE as usize];
    let mut free = SIZE;
    'filled: loop {
        for (index, preference) in preferences.iter_mut().enumerate() {
            for _ in 0..preference.turns {
                while slots[preference.next as usize].is_some() {
                    preference.next = (preference.next + preference.skip) % SIZE;
                }
                slots[preference.next as usize] = Some(position(index));
                free -= 1;
                if free == 0 {
                    break 'filled;
                }
            }
        }
    }
    slots.into_iter().flatten().collect()
}

/// The hash that the program finds slots by, too, see [`siphash`].
fn hash(member: &Candidate, key: u64) -> u32 {
    siphash::hash(
        fold(member.address).wrapping_add(u32::from(member.port)),
        [key; 2],
    )
}

/// An address as one number.
fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits().to_be_bytes();
            let words = bits
                .chunks_exact(4)
                .map(|word| word.iter().fold(0, |n, &b| n << 8 | u32::from(b)));
            words.fold(0, |folded: u32, word: u32| folded ^ word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates;
    use super::*;

    fn shares(table: &[u16], members: usize) -> Vec<usize> {
        (0..members)
            .map(|index| {
                table
                    .iter()
                    .filter(|&&slot| slot == position(index))
                    .count()
            })
            .collect()
    }

    #[test]
    fn every_slot_is_taken() {
        assert_eq!(table(&candidates(&[1, 1, 1])).len(), SIZE as usize);
    }

    #[test]
    fn equal_weights_get_equal_shares() {
        let counts = shares(&table(&candidates(&[1; 7])), 7);
        assert!(
            counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
            "{counts:?}"
        );
    }

    #[test]
    fn shares_follow_the_weights() {
        let counts = shares(&table(&candidates(&[1, 2, 5])), 3);
        assert!(
            counts[0].abs_diff(4093 / 8) <= 5 && counts[2].abs_diff(5 * 4093 / 8) <= 5,
            "{counts:?}"
        );
    }

    #[test]
    fn a_quiesced_member_keeps_its_slots() {
        let mut members = candidates(&[1, 2, 3]);
        let before = table(&members);
        members[1].weight = 0;
        assert_eq!(table(&members), before);
    }

    #[test]
    fn a_member_that_never_had_a_weight_gets_none() {
        let mut members = candidates(&[1, 0]);
        assert_eq!(shares(&table(&members), 2), [4093, 0]);
        members[0].last_weight = 0;
        assert_eq!(table(&members), [0u16; 0]);
    }

    #[test]
    fn a_removed_member_moves_few_others() {
        let all = candidates(&[1; 10]);
        let before = table(&all);
        let after = table(&all[..9]);
        let moved = before
            .iter()
            .zip(&after)
            .filter(|&(&before, &after)| before != 9 && before != after)
            .count();
        assert!(moved < 4093 / 10, "{moved}");
    }

    #[test]
    fn ipv6_addresses_are_folded_by_words() {
        assert_eq!(fold("2001:db8::1".parse().unwrap()), 0x2001_0db8 ^ 1);
        assert_eq!(fold("192.0.2.10".parse().unwrap()), 0xc000_020a);
    }
}
