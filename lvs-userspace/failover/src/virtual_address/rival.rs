//! Others who hold an address of ours. Without I/O, and with time as an argument.
//!
//! While addresses move, both directors say for a moment that they are theirs. So one claim is a reason
//! to ask, and only who goes on claiming is told of.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lvs_common::abi::Mac;

/// Claims so far apart are no handover any more.
const CONFIRMED: Duration = Duration::from_secs(1);
/// Who was not heard of for so long has let go: two rounds of asking.
const FORGOTTEN: Duration = Duration::from_secs(65);

/// What became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Another host holds the address.
    Duplicate(IpAddr, Mac),
    /// It does not any more.
    Gone(IpAddr, Mac),
}

#[derive(Clone, Copy, Debug)]
struct Rival {
    mac: Mac,
    first: Instant,
    last: Instant,
    told: bool,
}

/// All that is known of others, by address.
#[derive(Debug, Default)]
pub(super) struct Rivals(HashMap<IpAddr, Rival>);

impl Rivals {
    /// Somebody else claims an address of ours.
    pub(super) fn hear(&mut self, address: IpAddr, mac: Mac, now: Instant) -> Option<News> {
        let new = Rival {
            mac,
            first: now,
            last: now,
            told: false,
        };
        let rival = self.0.entry(address).or_insert(new);
        if rival.mac != mac {
            *rival = Rival {
                told: rival.told,
                ..new
            };
        }
        rival.last = now;
        let confirmed = now.saturating_duration_since(rival.first) >= CONFIRMED;
        if rival.told || !confirmed {
            return None;
        }
        rival.told = true;
        Some(News::Duplicate(address, mac))
    }

    /// Forgets who is not heard of any more.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        self.0.retain(|&address, rival| {
            let heard = now.saturating_duration_since(rival.last) < FORGOTTEN;
            if !heard && rival.told {
                news.push(News::Gone(address, rival.mac));
            }
            heard
        });
        news
    }

    /// Whether somebody claimed an address and has to be asked whether that is still so.
    pub(super) fn in_doubt(&self) -> bool {
        self.0.values().any(|rival| !rival.told)
    }

    /// Who holds an address too.
    pub(super) fn of(&self, address: IpAddr) -> Option<Mac> {
        let rival = self.0.get(&address).filter(|rival| rival.told)?;
        Some(rival.mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 2];

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_handover_is_no_duplicate() {
        let (mut rivals, start) = (Rivals::default(), Instant::now());
        for time in [0, 200, 400, 600, 800] {
            assert_eq!(rivals.hear(ADDRESS, MAC, after(start, time)), None);
        }
        assert!(rivals.in_doubt());
        assert_eq!(rivals.of(ADDRESS), None);
        assert!(rivals.forget(after(start, 70_000)).is_empty());
        assert!(!rivals.in_doubt());
    }

    #[test]
    fn who_goes_on_claiming_is_told_of_once_and_when_it_ends() {
        let (mut rivals, start) = (Rivals::default(), Instant::now());
        assert_eq!(rivals.hear(ADDRESS, MAC, start), None);
        let told = rivals.hear(ADDRESS, MAC, after(start, 1000));
        assert_eq!(told, Some(News::Duplicate(ADDRESS, MAC)));
        assert_eq!(rivals.hear(ADDRESS, MAC, after(start, 2000)), None);
        assert_eq!(rivals.hear(ADDRESS, OTHER, after(start, 4000)), None);
        assert_eq!(rivals.of(ADDRESS), Some(OTHER));
        assert!(rivals.forget(after(start, 60_000)).is_empty());
        let gone = rivals.forget(after(start, 70_000));
        assert_eq!(gone, [News::Gone(ADDRESS, OTHER)]);
        assert_eq!(rivals.of(ADDRESS), None);
    }
}
