//! Socket buffers that the kernel freed without a reason: lost, or sent by a driver that frees what it has sent as if
//! it dropped it. As many are lost as the interface itself says that it did not send at the same time.

use std::collections::BTreeMap;
use std::thread;

use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use tracing::debug;

use super::interfaces;

/// Packets by interface.
pub(super) type Packets = BTreeMap<u32, u64>;

/// The counts of the last look.
#[derive(Debug, Default)]
pub(super) struct Unexplained {
    freed: Packets,
    /// `None`: the interfaces' counts could not be read yet.
    dropped: Option<Packets>,
    /// Packets freed since the look before, and not lost so far: an interface may count one after it was freed.
    open: Packets,
}

impl Unexplained {
    /// `freed` were freed without a reason, `dropped` are the interfaces' own counts, read before.
    pub(super) const fn since(freed: Packets, dropped: Option<Packets>) -> Self {
        Self {
            freed,
            dropped,
            open: Packets::new(),
        }
    }

    /// The number that was lost since the last look. Interfaces that came later had nothing then. `dropped` was read
    /// before `freed`: what is freed meanwhile is left to the next look, and no longer.
    pub(super) fn lost(&mut self, freed: Packets, dropped: Packets) -> Packets {
        let of = |packets: &Packets, interface: u32| packets.get(&interface).copied().unwrap_or(0);
        let since = |now: &Packets, before: &Packets, interface| {
            of(now, interface).saturating_sub(of(before, interface))
        };
        let mut lost = Packets::new();
        let mut open = Packets::new();
        if let Some(before) = &self.dropped {
            for &interface in freed.keys() {
                let newly = since(&freed, &self.freed, interface);
                let candidates = newly + of(&self.open, interface);
                let both = candidates.min(since(&dropped, before, interface));
                // What was open is older, and is found lost first.
                let left = newly.min(candidates - both);
                for (packets, to) in [(both, &mut lost), (left, &mut open)] {
                    if packets != 0 {
                        to.insert(interface, packets);
                    }
                }
            }
        }
        *self = Self {
            freed,
            dropped: Some(dropped),
            open,
        };
        lost
    }
}

/// Packets that each interface says it did not send. Waits for the kernel on a thread of its own, as whoever asks may
/// be one of an asynchronous runtime's.
pub(super) fn read_dropped() -> Option<Packets> {
    let links = thread::scope(|scope| scope.spawn(interfaces::dump).join());
    match links {
        Ok(Ok(links)) => Some(links.iter().map(dropped).collect()),
        Ok(Err(error)) => {
            debug!("the interfaces' counters cannot be read: {error}");
            None
        }
        Err(_) => None,
    }
}

fn dropped(link: &LinkMessage) -> (u32, u64) {
    let counts = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Stats64(counts) => Some(counts.tx_dropped + counts.tx_errors),
            _ => None,
        });
    (link.header.index, counts.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(packets: u64) -> Packets {
        Packets::from([(3, packets)])
    }

    /// Those lost at each look, at what was freed and dropped until then.
    fn lost(looks: &[(u64, u64)]) -> Vec<u64> {
        let mut unexplained = Unexplained::since(at(10), Some(at(100)));
        let look = |&(freed, dropped): &(u64, u64)| {
            let lost = unexplained.lost(at(freed), at(dropped));
            lost.get(&3).copied().unwrap_or(0)
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn as_many_are_lost_as_the_interface_did_not_send() {
        assert_eq!(lost(&[(10, 100), (15, 105), (15, 105)]), [0, 5, 0]);
        assert_eq!(lost(&[(15, 103)]), [3]);
        assert_eq!(
            lost(&[(1_000, 100)]),
            [0],
            "a driver that frees what it sent so"
        );
        assert_eq!(lost(&[(10, 200)]), [0], "others' packets");
    }

    #[test]
    fn what_was_dropped_at_another_time_was_not_what_was_freed() {
        assert_eq!(lost(&[(10, 1_100), (1_010, 1_100)]), [0, 0]);
        assert_eq!(
            lost(&[(1_010, 100), (1_010, 100), (1_010, 1_100)]),
            [0, 0, 0]
        );
        assert_eq!(lost(&[(15, 103), (15, 105)]), [3, 2], "counted a bit later");
    }

    #[test]
    fn an_interface_that_came_later_had_nothing() {
        let mut unexplained = Unexplained::since(at(10), Some(at(100)));
        let later = unexplained.lost(Packets::from([(7, 2)]), Packets::from([(7, 5)]));
        assert_eq!(later, Packets::from([(7, 2)]));
    }

    #[test]
    fn the_first_counts_of_the_interfaces_say_nothing() {
        let mut unexplained = Unexplained::since(at(10), None);
        assert_eq!(unexplained.lost(at(15), at(105)), Packets::new());
        assert_eq!(unexplained.lost(at(16), at(106)), at(1));
    }
}
