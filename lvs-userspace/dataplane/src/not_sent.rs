//! The verdicts less the frames that the kernel did not send.
//!
//! The kernel tells how many frames it dropped behind the program, not which. They are taken off the verdicts of frames
//! that leave, in proportion to what each counted since the last look: exactly, where only one of them counted.

use lvs_common::verdict::Reason;

use crate::kernel::{Mapping, Maps};

/// Packets by the number of their [`Reason`].
pub type Counts = [u64; Reason::ALL.len()];

/// Counts that are subtracted from each verdict, and the counts at the last look.
#[derive(Debug, Default)]
pub struct NotSent {
    before: Option<Counts>,
}

impl NotSent {
    /// The counts of all verdicts, those of frames that leave less the ones that were not sent.
    pub fn read(&mut self, maps: &Maps) -> Counts {
        // Whoever is not sent was counted as forwarded before.
        let not_sent = maps.verdicts.count(Reason::NotSent) + maps.lost_frames.unexplained();
        let mut counts = maps.verdicts.counts();
        counts[Reason::NotSent as usize] = not_sent;
        let mut off = read(&maps.not_sent);
        if self.attribute(&counts, &mut off) {
            write(&maps.not_sent, &off);
        }
        of_each(|reason| counts[reason as usize].saturating_sub(off[reason as usize]))
    }

    /// Distributes what is not taken off any verdict yet. False: there was nothing.
    fn attribute(&mut self, counts: &Counts, off: &mut Counts) -> bool {
        let before = self.before.replace(*counts);
        let mut left = counts[Reason::NotSent as usize].saturating_sub(off.iter().sum());
        if left == 0 {
            return false;
        }
        let remains = |off: &Counts, reason: Reason| {
            let index = reason as usize;
            if reason.leaves() {
                counts[index].saturating_sub(off[index])
            } else {
                0
            }
        };
        if let Some(before) = before {
            let growth = of_each(|reason| {
                let index = reason as usize;
                remains(off, reason).min(counts[index].saturating_sub(before[index]))
            });
            left = distribute(left, &growth, off);
        }
        let all = of_each(|reason| remains(off, reason));
        distribute(left, &all, off);
        true
    }
}

fn of_each(value: impl Fn(Reason) -> u64) -> Counts {
    std::array::from_fn(|index| Reason::ALL.get(index).map_or(0, |&reason| value(reason)))
}

fn read(mapping: &Mapping<u64>) -> Counts {
    let word = |index| u32::try_from(index).ok().and_then(|at| mapping.read(at));
    std::array::from_fn(|index| word(index).unwrap_or(0))
}

fn write(mapping: &Mapping<u64>, counts: &Counts) {
    for (index, &count) in (0..).zip(counts) {
        mapping.write(index, count);
    }
}

/// Adds as many in all to `to`, in proportion to the weights and to none more than its weight. Returns what is left.
fn distribute(many: u64, weights: &Counts, to: &mut Counts) -> u64 {
    let sum: u64 = weights.iter().sum();
    let mut open = many.min(sum);
    let left = many - open;
    let share = |weight: u64| {
        let share = u128::from(many.min(sum)) * u128::from(weight) / u128::from(sum.max(1));
        u64::try_from(share).unwrap_or(weight)
    };
    for (to, &weight) in to.iter_mut().zip(weights) {
        *to += share(weight);
        open -= share(weight);
    }
    // Rounding leaves fewer than there are verdicts.
    for (to, &weight) in to.iter_mut().zip(weights) {
        let more = open.min(weight - share(weight)).min(1);
        *to += more;
        open -= more;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(Reason, u64)]) -> Counts {
        of_each(|reason| {
            let found = of.iter().find(|(other, _)| *other == reason);
            found.map_or(0, |&(_, count)| count)
        })
    }

    #[test]
    fn frames_not_sent_are_taken_off_the_verdict_that_counted_them() {
        let mut not_sent = NotSent::default();
        let mut off = counts(&[]);
        let first = counts(&[(Reason::Direct, 1_000), (Reason::NatReply, 10)]);
        assert!(!not_sent.attribute(&first, &mut off));
        let lost = [
            (Reason::Direct, 1_000),
            (Reason::NatReply, 15),
            (Reason::NotIp, 900),
            (Reason::NotSent, 5),
        ];
        assert!(not_sent.attribute(&counts(&lost), &mut off));
        assert_eq!(off, counts(&[(Reason::NatReply, 5)]));
        assert!(!not_sent.attribute(&counts(&lost), &mut off), "once only");
    }

    #[test]
    fn frames_of_several_verdicts_are_shared_out_in_proportion() {
        let mut not_sent = NotSent::default();
        let mut off = counts(&[]);
        // As after a start: there was no look before.
        let all = [
            (Reason::Direct, 300),
            (Reason::Tunnel, 100),
            (Reason::Reset, 1),
            (Reason::Local, 500),
            (Reason::NotSent, 100),
        ];
        not_sent.attribute(&counts(&all), &mut off);
        assert_eq!(off.iter().sum::<u64>(), 100);
        assert_eq!(off[Reason::Local as usize], 0, "handed to the own stack");
        assert!((74..=76).contains(&off[Reason::Direct as usize]), "{off:?}");
        assert!((24..=25).contains(&off[Reason::Tunnel as usize]), "{off:?}");
    }

    #[test]
    fn no_verdict_loses_more_than_it_counted() {
        let mut not_sent = NotSent::default();
        let mut off = counts(&[]);
        let all = [(Reason::Direct, 3), (Reason::Nat, 2), (Reason::NotSent, 9)];
        not_sent.attribute(&counts(&all), &mut off);
        assert_eq!(off, counts(&[(Reason::Direct, 3), (Reason::Nat, 2)]));
    }
}
