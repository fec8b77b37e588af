//! Socket buffers that the kernel freed without a reason: lost, or sent by a driver that frees what it has sent as if it
//! dropped it. As many are lost as the interface itself says that it did not send.

use std::collections::BTreeMap;
use std::thread;

use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use tracing::debug;

use super::interfaces;

/// Packets by interface.
pub(super) type Packets = BTreeMap<u32, u64>;

/// What was counted before lvsd began to look. Interfaces that came later had nothing.
#[derive(Debug, Default)]
pub(super) struct Unexplained {
    freed: Packets,
    dropped: Packets,
    confirmed: Packets,
    /// What was freed at the last look.
    seen: Packets,
}

impl Unexplained {
    /// `freed` were freed without a reason, `dropped` are the interfaces' own counts, and of the former `confirmed` were
    /// found lost.
    pub(super) fn since(freed: Packets, dropped: Packets, confirmed: Packets) -> Self {
        Self {
            seen: freed.clone(),
            freed,
            dropped,
            confirmed,
        }
    }

    /// Returns whether more were freed since the last look.
    pub(super) fn has_more(&mut self, freed: &Packets) -> bool {
        let more = self.seen != *freed;
        if more {
            self.seen.clone_from(freed);
        }
        more
    }

    /// How many were lost, all in all, of those that were `freed`.
    pub(super) fn lost(&self, freed: &Packets, dropped: &Packets) -> Packets {
        let since = |now: &Packets, before: &Packets, interface| {
            let of = |packets: &Packets| packets.get(interface).copied().unwrap_or(0);
            of(now).saturating_sub(of(before))
        };
        let lost = |interface| {
            let freed = since(freed, &self.freed, interface);
            let before = self.confirmed.get(interface).copied().unwrap_or(0);
            before + freed.min(since(dropped, &self.dropped, interface))
        };
        freed
            .keys()
            .map(|interface| (*interface, lost(interface)))
            .collect()
    }
}

/// Packets that each interface says it did not send. Waits for the kernel on a thread of its own, as whoever asks may
/// be one of an asynchronous runtime's.
pub(super) fn read_dropped() -> Packets {
    let links = thread::scope(|scope| scope.spawn(interfaces::dump).join());
    match links {
        Ok(Ok(links)) => links.iter().map(dropped).collect(),
        Ok(Err(error)) => {
            debug!("the interfaces' counters cannot be read: {error}");
            Packets::new()
        }
        Err(_) => Packets::new(),
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

    #[test]
    fn as_many_are_lost_as_the_interface_did_not_send() {
        let at = |packets: u64| Packets::from([(3, packets)]);
        let mut unexplained = Unexplained::since(at(10), at(100), at(4));
        assert!(!unexplained.has_more(&at(10)));
        assert!(unexplained.has_more(&at(11)));
        assert!(!unexplained.has_more(&at(11)));
        let lost = |freed, dropped| unexplained.lost(&at(freed), &at(dropped))[&3];
        assert_eq!(lost(10, 100), 4);
        assert_eq!(lost(15, 105), 9);
        assert_eq!(lost(1_000, 100), 4, "a driver that frees what it sent so");
        assert_eq!(lost(10, 200), 4, "others' packets");
        let later = unexplained.lost(&Packets::from([(7, 2)]), &Packets::from([(7, 5)]));
        assert_eq!(
            later,
            Packets::from([(7, 2)]),
            "an interface that came later"
        );
    }
}
