//! The counters of services and servers less the frames that the kernel did not send.
//!
//! The program counts a packet before it knows that the kernel drops it, and the kernel tells the interface only. The
//! frames that an interface lost since the last look are taken off what was counted since then: first the packets to
//! servers that are reached by this interface, in proportion, then those to clients. This is exact where all that
//! left by an interface was lost.

use std::collections::BTreeMap;

use lvs_common::abi::Stats;

/// Frames by the interface that should have sent them.
pub(super) type Lost = BTreeMap<u32, u64>;

/// Traffic of a server since the last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Interface by which it is reached; 0: unknown.
    pub(super) interface: u32,
    /// The counted traffic.
    pub(super) counted: Stats,
}

/// Frames that were seen lost, and those that nothing was counted for yet.
#[derive(Debug, Default)]
pub(super) struct LostTraffic {
    seen: Lost,
    left: Lost,
}

impl LostTraffic {
    /// Earlier losses count for nothing.
    pub(super) const fn since(seen: Lost) -> Self {
        Self {
            seen,
            left: BTreeMap::new(),
        }
    }

    /// Returns what is to be taken off the counters of each server. `lost` was read after the servers' counters: a
    /// frame that was lost meanwhile may be counted at the next look, to which it is left.
    pub(super) fn attribute(
        &mut self,
        lost: Lost,
        servers: impl FnOnce() -> Vec<Growth>,
    ) -> Option<Vec<Stats>> {
        let mut open = std::mem::take(&mut self.left);
        for (&interface, &frames) in &lost {
            let seen = self.seen.get(&interface).copied().unwrap_or(0);
            if frames > seen {
                *open.entry(interface).or_default() += frames - seen;
                // Only the newest frames can still be without a count.
                self.left.insert(interface, frames - seen);
            }
        }
        self.seen = lost;
        if open.is_empty() {
            return None;
        }
        let servers = servers();
        let mut off = vec![Stats::default(); servers.len()];
        for (interface, frames) in open {
            let to_servers = servers.iter().map(|server| {
                if server.interface == interface {
                    server.counted.in_packets
                } else {
                    0
                }
            });
            let (shares, left) = distribute(frames, &to_servers.collect::<Vec<_>>());
            for ((off, server), share) in off.iter_mut().zip(&servers).zip(shares) {
                let Stats {
                    in_packets,
                    in_bytes,
                    ..
                } = server.counted;
                off.in_packets += share;
                off.in_bytes += part(in_bytes, share, in_packets);
            }
            let to_clients = servers.iter().zip(&off);
            let to_clients = to_clients
                .map(|(server, off)| server.counted.out_packets.saturating_sub(off.out_packets));
            let (shares, left) = distribute(left, &to_clients.collect::<Vec<_>>());
            for ((off, server), share) in off.iter_mut().zip(&servers).zip(shares) {
                let Stats {
                    out_packets,
                    out_bytes,
                    ..
                } = server.counted;
                off.out_packets += share;
                off.out_bytes += part(out_bytes, share, out_packets);
            }
            if let Some(newest) = self.left.get_mut(&interface) {
                *newest = left.min(*newest);
            }
        }
        self.left.retain(|_, frames| *frames != 0);
        Some(off)
    }
}

/// The part of a number that goes with `share` of `whole`.
fn part(number: u64, share: u64, whole: u64) -> u64 {
    let part = u128::from(number) * u128::from(share) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(number)
}

/// Shares of as many in all, in proportion to the weights and none more than its weight, and what is left.
fn distribute(many: u64, weights: &[u64]) -> (Vec<u64>, u64) {
    let sum: u64 = weights.iter().sum();
    let open = many.min(sum);
    let mut shares: Vec<u64> = weights
        .iter()
        .map(|&weight| part(open, weight, sum))
        .collect();
    // Rounding leaves fewer than there are weights.
    let mut rest = open - shares.iter().sum::<u64>();
    for (share, &weight) in shares.iter_mut().zip(weights) {
        let more = rest.min(weight - *share).min(1);
        *share += more;
        rest -= more;
    }
    (shares, many - open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(interface: u32, in_packets: u64, out_packets: u64) -> Growth {
        Growth {
            interface,
            counted: Stats {
                connections: 1,
                in_packets,
                out_packets,
                in_bytes: in_packets * 100,
                out_bytes: out_packets * 1_000,
            },
        }
    }

    fn packets(off: &[Stats]) -> Vec<(u64, u64)> {
        off.iter()
            .map(|off| (off.in_packets, off.out_packets))
            .collect()
    }

    #[test]
    fn what_an_interface_lost_is_taken_off_the_servers_behind_it() {
        let mut losses = LostTraffic::since(Lost::from([(3, 7)]));
        let servers = [growth(3, 10, 10), growth(4, 10, 10), growth(3, 30, 30)];
        assert_eq!(
            losses.attribute(Lost::from([(3, 7)]), || servers.to_vec()),
            None
        );
        let off = losses
            .attribute(Lost::from([(3, 27)]), || servers.to_vec())
            .unwrap();
        assert_eq!(packets(&off), [(5, 0), (0, 0), (15, 0)]);
        assert_eq!([off[0].in_bytes, off[2].in_bytes], [500, 1_500]);
        assert_eq!(
            losses.attribute(Lost::from([(3, 27)]), || servers.to_vec()),
            None
        );
    }

    #[test]
    fn what_leads_to_no_server_was_for_clients() {
        let mut losses = LostTraffic::since(Lost::new());
        let servers = [growth(4, 10, 10), growth(4, 10, 30)];
        let off = losses
            .attribute(Lost::from([(3, 20)]), || servers.to_vec())
            .unwrap();
        assert_eq!(packets(&off), [(0, 5), (0, 15)]);
        assert_eq!(off[1].out_bytes, 15_000);
    }

    #[test]
    fn all_that_left_by_the_only_interface_is_taken_off() {
        let mut losses = LostTraffic::since(Lost::new());
        let servers = [growth(2, 10, 8), growth(2, 0, 0)];
        let off = losses
            .attribute(Lost::from([(2, 18)]), || servers.to_vec())
            .unwrap();
        assert_eq!(packets(&off), [(10, 8), (0, 0)]);
    }

    #[test]
    fn a_frame_that_is_counted_late_is_taken_off_at_the_next_look_only() {
        let mut losses = LostTraffic::since(Lost::new());
        let lost = || Lost::from([(2, 5)]);
        let off = losses.attribute(lost(), || vec![growth(2, 3, 0)]).unwrap();
        assert_eq!(packets(&off), [(3, 0)]);
        let off = losses.attribute(lost(), || vec![growth(2, 9, 0)]).unwrap();
        assert_eq!(packets(&off), [(2, 0)]);

        // Answers of the director's own are no server's.
        losses.attribute(Lost::from([(2, 6)]), || vec![growth(2, 0, 0)]);
        losses.attribute(Lost::from([(2, 6)]), || vec![growth(2, 0, 0)]);
        assert_eq!(
            losses.attribute(Lost::from([(2, 6)]), || vec![growth(2, 9, 0)]),
            None
        );
    }

    #[test]
    fn of_a_loss_that_does_not_divide_nothing_is_forgotten() {
        let (shares, left) = distribute(10, &[3, 3, 3, 3]);
        assert_eq!((shares.iter().sum::<u64>(), left), (10, 0));
        assert!(shares.iter().all(|&share| share <= 3), "{shares:?}");
        assert_eq!(distribute(10, &[1, 0, 2]), (vec![1, 0, 2], 7));
    }
}
