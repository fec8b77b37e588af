//! Tables that are read in turn: rr and wrr.

use super::{Candidate, common_divisor, position};

/// Slots of one wrr table at most.
const LONGEST_CYCLE: u64 = 65_536;

/// rr: every usable member once.
pub(super) fn each_once(candidates: &[Candidate]) -> Vec<u16> {
    let usable = candidates
        .iter()
        .enumerate()
        .filter(|(_, member)| member.weight > 0);
    usable.map(|(index, _)| position(index)).collect()
}

/// wrr: IPVS's interleaved sequence, one whole cycle of it.
///
/// A cycle is as long as the sum of the weights divided by their common divisor. Where that is more
/// than [`LONGEST_CYCLE`], the weights are scaled down so that it fits (none to less than 1): shares
/// are then right to within one part in `LONGEST_CYCLE`.
pub(super) fn weighted(candidates: &[Candidate]) -> Vec<u16> {
    let weights = candidates.iter().map(|member| member.weight).collect();
    interleave(&scaled(weights))
}

/// The weights by which a table is laid out, see [`weighted`].
pub(super) fn scaled(mut weights: Vec<u32>) -> Vec<u32> {
    let divisor = common_divisor(weights.iter().copied());
    let sum: u64 = weights
        .iter()
        .map(|&weight| u64::from(weight / divisor))
        .sum();
    if sum > LONGEST_CYCLE {
        // What rounding small weights up to 1 adds is at most one slot a member.
        let room = LONGEST_CYCLE - weights.len() as u64;
        for weight in weights.iter_mut().filter(|weight| **weight > 0) {
            let scaled = u64::from(*weight / divisor) * room / sum;
            *weight = u32::try_from(scaled).unwrap_or(u32::MAX).max(1);
        }
    }
    weights
}

/// Walks the list again and again, takes whoever weighs at least as much as the current weight, which
/// falls by the common divisor with each walk.
fn interleave(weights: &[u32]) -> Vec<u16> {
    let divisor = common_divisor(weights.iter().copied());
    let heaviest = weights.iter().copied().max().unwrap_or(0);
    let mut table = Vec::new();
    // Members that still count, so that a walk costs no more than what it takes.
    let mut order: Vec<usize> = (0..weights.len())
        .filter(|&index| weights[index] > 0)
        .collect();
    order.sort_by_key(|&index| std::cmp::Reverse(weights[index]));
    let mut taken: Vec<u16> = Vec::new();
    let mut heavy_enough = order.into_iter().peekable();
    let mut current = heaviest.saturating_sub(divisor - 1);
    while current > 0 {
        while let Some(index) = heavy_enough.next_if(|&index| weights[index] >= current) {
            let place = taken.partition_point(|&before| before < position(index));
            taken.insert(place, position(index));
        }
        table.extend_from_slice(&taken);
        current = current.saturating_sub(divisor);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::candidates;
    use super::*;

    /// IPVS's definition, step by step.
    fn by_definition(weights: &[u32]) -> Vec<u16> {
        let divisor = common_divisor(weights.iter().copied());
        let heaviest = weights.iter().copied().max().unwrap_or(0);
        let mut table = Vec::new();
        let mut current = i64::from(heaviest) - i64::from(divisor) + 1;
        while current > 0 {
            for (index, &weight) in weights.iter().enumerate() {
                if weight > 0 && i64::from(weight) >= current {
                    table.push(position(index));
                }
            }
            current -= i64::from(divisor);
        }
        table
    }

    #[test]
    fn rr_takes_each_usable_member_once() {
        assert_eq!(each_once(&candidates(&[1, 0, 7])), [0, 2]);
    }

    #[test]
    fn wrr_interleaves_as_ipvs_does() {
        assert_eq!(weighted(&candidates(&[4, 2])), [0, 0, 1]);
        assert_eq!(
            weighted(&candidates(&[4, 3, 2])),
            [0, 0, 1, 0, 1, 2, 0, 1, 2]
        );
        assert_eq!(weighted(&candidates(&[0, 0])), [0u16; 0]);
    }

    proptest::proptest! {
        #[test]
        fn wrr_is_the_sequence_of_its_definition(weights in proptest::collection::vec(0u32..60, 0..20)) {
            proptest::prop_assert_eq!(weighted(&candidates(&weights)), by_definition(&weights));
        }

        #[test]
        fn wrr_gives_each_member_its_weight(weights in proptest::collection::vec(1u32..60, 1..20)) {
            let table = weighted(&candidates(&weights));
            let divisor = common_divisor(weights.iter().copied());
            for (index, weight) in weights.iter().enumerate() {
                let slots = table.iter().filter(|&&slot| slot == position(index)).count();
                proptest::prop_assert_eq!(slots, (weight / divisor) as usize);
            }
        }

        #[test]
        fn huge_weights_are_scaled_and_nobody_is_left_out(
            weights in proptest::collection::vec(1u32..=0x7fff_ffff, 1..40)
        ) {
            let table = weighted(&candidates(&weights));
            proptest::prop_assert!(table.len() as u64 <= LONGEST_CYCLE);
            let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            for (index, &weight) in weights.iter().enumerate() {
                let slots = table.iter().filter(|&&slot| slot == position(index)).count();
                proptest::prop_assert!(slots > 0);
                #[expect(clippy::cast_precision_loss, reason = "at most 65,536")]
                let share = slots as f64 / table.len() as f64;
                proptest::prop_assert!((share - f64::from(weight) / sum).abs() < 0.002);
            }
        }
    }
}
