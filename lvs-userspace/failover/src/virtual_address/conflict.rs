//! Address conflicts (RFC 5227): other hosts that hold an address of ours. Without I/O, and with time as an
//! argument.
//!
//! While addresses move, both directors claim them for a moment. So one claim is a reason to send a probe,
//! and a conflict is confirmed only by claims that go on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lvs_common::abi::Mac;

use super::frame::Claim;

/// Time after the first claim from which another one confirms a conflict: it is no handover any more.
const CONFIRMED: Duration = Duration::from_secs(1);
/// Time without a claim after which a conflict is resolved: two rounds of probes.
const EXPIRED: Duration = Duration::from_secs(65);

/// A change of the confirmed conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConflictEvent {
    /// The host with this Ethernet address holds the address, too.
    Detected(IpAddr, Mac),
    /// It does not any more.
    Resolved(IpAddr, Mac),
}

#[derive(Clone, Copy, Debug)]
struct Conflict {
    mac: Mac,
    first: Instant,
    last: Instant,
    confirmed: bool,
}

/// The claims of other hosts, by address.
#[derive(Debug, Default)]
pub(super) struct Conflicts(HashMap<IpAddr, Conflict>);

impl Conflicts {
    /// Records that another host claims an address of ours.
    pub(super) fn record(&mut self, claim: Claim, now: Instant) -> Option<ConflictEvent> {
        let Claim { address, mac } = claim;
        let new = Conflict {
            mac,
            first: now,
            last: now,
            confirmed: false,
        };
        let conflict = self.0.entry(address).or_insert(new);
        if conflict.mac != mac {
            *conflict = Conflict {
                confirmed: conflict.confirmed,
                ..new
            };
        }
        conflict.last = now;
        let lasts = now.saturating_duration_since(conflict.first) >= CONFIRMED;
        if conflict.confirmed || !lasts {
            return None;
        }
        conflict.confirmed = true;
        Some(ConflictEvent::Detected(address, mac))
    }

    /// Removes conflicts without recent claims.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<ConflictEvent> {
        let mut resolved = Vec::new();
        self.0.retain(|&address, conflict| {
            let recent = now.saturating_duration_since(conflict.last) < EXPIRED;
            if !recent && conflict.confirmed {
                resolved.push(ConflictEvent::Resolved(address, conflict.mac));
            }
            recent
        });
        resolved
    }

    /// True while a claim is neither confirmed nor expired: probes are to be sent.
    pub(super) fn has_unconfirmed(&self) -> bool {
        self.0.values().any(|conflict| !conflict.confirmed)
    }

    /// The Ethernet address of another host that holds an address, if that is confirmed.
    pub(super) fn confirmed(&self, address: IpAddr) -> Option<Mac> {
        let conflict = self.0.get(&address).filter(|found| found.confirmed)?;
        Some(conflict.mac)
    }
}

/// An Ethernet address as it is read.
pub(super) fn spell(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 2];

    const fn claim(mac: Mac) -> Claim {
        Claim {
            address: ADDRESS,
            mac,
        }
    }

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_handover_is_no_duplicate() {
        let (mut conflicts, start) = (Conflicts::default(), Instant::now());
        for time in [0, 200, 400, 600, 800] {
            assert_eq!(conflicts.record(claim(MAC), after(start, time)), None);
        }
        assert!(conflicts.has_unconfirmed());
        assert_eq!(conflicts.confirmed(ADDRESS), None);
        assert!(conflicts.expire(after(start, 70_000)).is_empty());
        assert!(!conflicts.has_unconfirmed());
    }

    #[test]
    fn claims_that_go_on_are_a_conflict_until_they_end() {
        let (mut conflicts, start) = (Conflicts::default(), Instant::now());
        assert_eq!(conflicts.record(claim(MAC), start), None);
        let detected = conflicts.record(claim(MAC), after(start, 1000));
        assert_eq!(detected, Some(ConflictEvent::Detected(ADDRESS, MAC)));
        assert_eq!(conflicts.record(claim(MAC), after(start, 2000)), None);
        assert_eq!(conflicts.record(claim(OTHER), after(start, 4000)), None);
        assert_eq!(conflicts.confirmed(ADDRESS), Some(OTHER));
        assert!(conflicts.expire(after(start, 60_000)).is_empty());
        let resolved = conflicts.expire(after(start, 70_000));
        assert_eq!(resolved, [ConflictEvent::Resolved(ADDRESS, OTHER)]);
        assert_eq!(conflicts.confirmed(ADDRESS), None);
    }
}
