//! Tables of 256 buckets: sh and dh.

use super::{Candidate, position};

const BUCKETS: usize = 256;

/// dh: the members in turn, weights ignored. A bucket whose member is quiesced stays its own: the
/// program finds nobody there, as IPVS does.
pub(super) fn evenly(candidates: &[Candidate]) -> Vec<u16> {
    fill(candidates.iter().map(|_| 1))
}

/// sh: each member in turn takes as many buckets in a row as it weighs; a quiesced one takes one.
pub(super) fn by_weight(candidates: &[Candidate]) -> Vec<u16> {
    fill(candidates.iter().map(|member| member.weight.max(1)))
}

fn fill(shares: impl Iterator<Item = u32>) -> Vec<u16> {
    let round: Vec<u16> = shares
        .enumerate()
        .flat_map(|(index, share)| std::iter::repeat_n(position(index), share.min(256) as usize))
        .take(BUCKETS)
        .collect();
    round.iter().copied().cycle().take(BUCKETS).collect()
}

#[cfg(test)]
mod tests {
    use super::super::candidates;
    use super::*;

    #[test]
    fn dh_ignores_weights() {
        let table = evenly(&candidates(&[5, 0, 1]));
        assert_eq!(table.len(), BUCKETS);
        assert_eq!(table[..7], [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn sh_gives_as_many_buckets_in_a_row_as_the_weight_says() {
        let table = by_weight(&candidates(&[3, 0, 1]));
        assert_eq!(table.len(), BUCKETS);
        assert_eq!(table[..7], [0, 0, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn more_than_256_members_leave_the_last_without_a_bucket() {
        let weights = vec![1; 300];
        assert_eq!(by_weight(&candidates(&weights)).last(), Some(&255));
    }
}
