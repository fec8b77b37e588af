//! Reasons to refuse a session or to end it, and whom they concerned, how often and when.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lvs_api::peers::RefusalCount;
use parking_lot::Mutex;
use tracing::warn;

use super::age::Shown;

/// Pairs of address and reason that are kept: the one that occurred the longest ago goes for a new one.
const KEPT: usize = 64;
/// Least time from one log line about an address and a reason to the next.
const LOG_INTERVAL: Duration = Duration::from_mins(10);
/// Log lines about new addresses or reasons in one interval at most: anybody may connect.
const LOG_LINES: u32 = 20;

/// The reason why a peer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("it has another key")]
    Key,
    #[error("it speaks no version of the protocol that this director speaks")]
    Version,
    #[error("it is this director itself")]
    Itself,
    #[error("it sent a frame of an impossible length")]
    Length,
    #[error("it sent something that was changed on the way, or was sent before")]
    Forged,
    #[error("it sent something that makes no sense")]
    Malformed,
    #[error("it said nothing for too long")]
    Silence,
    #[error("too many wait to prove that they have the key")]
    Crowd,
}

impl Refusal {
    /// For listings and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Version => "version",
            Self::Itself => "itself",
            Self::Length => "length",
            Self::Forged => "forged",
            Self::Malformed => "item",
            Self::Silence => "silence",
            Self::Crowd => "crowd",
        }
    }
}

/// One reason that concerned one address.
#[derive(Clone, Copy, Debug)]
struct Record {
    address: IpAddr,
    why: Refusal,
    count: u64,
    first: Instant,
    last: Instant,
    logged: Instant,
}

#[derive(Debug, Default)]
struct Records {
    kept: Vec<Record>,
    /// Log lines about new pairs since a moment.
    lines: Option<(Instant, u32)>,
}

/// Everything that was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Records>);

impl Refusals {
    /// Counts a refusal of a director with this address, and logs it unless that was done lately.
    pub(super) fn count(&self, address: IpAddr, why: Refusal) {
        let address = address.to_canonical();
        if let Some(times) = self.0.lock().count(address, why, Instant::now()) {
            warn!("refused {address}, {times} times so far: {why}");
        }
    }

    /// Everything that is kept, the latest first.
    pub(super) fn list(&self) -> Vec<RefusalCount> {
        let mut kept = self.0.lock().kept.clone();
        kept.sort_by_key(|record| std::cmp::Reverse(record.last));
        let shown = kept.into_iter().map(|record| {
            let (first, last) = (Shown::of(record.first), Shown::of(record.last));
            RefusalCount {
                address: record.address.to_string(),
                name: record.why.name().to_owned(),
                count: record.count,
                since: first.date,
                last: last.date,
                last_age: last.age,
                explanation: record.why.to_string(),
            }
        });
        shown.collect()
    }
}

impl Records {
    /// Counts a refusal; the count, if it is to be logged.
    fn count(&mut self, address: IpAddr, why: Refusal, now: Instant) -> Option<u64> {
        let mut kept = self.kept.iter_mut();
        if let Some(record) = kept.find(|it| (it.address, it.why) == (address, why)) {
            record.count += 1;
            record.last = now;
            let due = now.duration_since(record.logged) >= LOG_INTERVAL;
            if due {
                record.logged = now;
            }
            return due.then_some(record.count);
        }
        if self.kept.len() >= KEPT {
            let oldest = self.kept.iter().enumerate().min_by_key(|(_, it)| it.last);
            if let Some((index, _)) = oldest {
                self.kept.swap_remove(index);
            }
        }
        self.kept.push(Record {
            address,
            why,
            count: 1,
            first: now,
            last: now,
            logged: now,
        });
        let (begun, lines) = match self.lines {
            Some((begun, lines)) if now.duration_since(begun) < LOG_INTERVAL => (begun, lines),
            _ => (now, 0),
        };
        self.lines = Some((begun, lines + 1));
        (lines < LOG_LINES).then_some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_refusal_is_kept_by_address_and_reason() {
        let refusals = Refusals::default();
        refusals.count(address(7), Refusal::Key);
        refusals.count("::ffff:0.0.0.7".parse().unwrap(), Refusal::Key);
        refusals.count(address(7), Refusal::Version);
        let mut listed = refusals.list();
        listed.sort_by_key(|it| it.count);
        let shown = listed.iter().map(|it| (&*it.address, &*it.name, it.count));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [("0.0.0.7", "version", 1), ("0.0.0.7", "key", 2)]
        );
        assert!(listed[1].last >= listed[1].since && listed[1].since > 1_600_000_000);
    }

    #[test]
    fn a_log_line_is_written_once_an_interval_for_each_and_few_for_many() {
        let mut records = Records::default();
        let begin = Instant::now();
        assert_eq!(records.count(address(1), Refusal::Key, begin), Some(1));
        let soon = begin + LOG_INTERVAL / 2;
        assert_eq!(records.count(address(1), Refusal::Key, soon), None);
        let later = begin + LOG_INTERVAL;
        assert_eq!(records.count(address(1), Refusal::Key, later), Some(3));

        // Somebody connects from everywhere.
        let lines = (2..2_000).filter_map(|it| records.count(address(it), Refusal::Crowd, later));
        assert_eq!(lines.count(), 20);
        assert_eq!(records.kept.len(), KEPT);
    }
}
