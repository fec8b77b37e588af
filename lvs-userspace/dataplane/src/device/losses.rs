//! Lost frames of each interface: frames that a program handed over, and that the kernel then did not send.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use lvs_common::abi::LostKey;

use crate::kernel::drop_reason;

/// Frames by the interface that should have sent them and [`LostKey::error`].
pub(super) type Counts = BTreeMap<(u32, u32), u64>;

/// Time between two reports about the same.
const QUIET: Duration = Duration::from_mins(1);

/// The counts that were seen, and what was said of them.
#[derive(Debug, Default)]
pub(super) struct Losses {
    seen: Counts,
    said: BTreeMap<(u32, u32), (Instant, u64)>,
}

/// More frames that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// Interface that should have sent them.
    pub(super) interface: u32,
    /// [`LostKey::error`].
    pub(super) error: u32,
    /// Frames since the last report, if it is time for one.
    pub(super) report: Option<u64>,
}

/// True if TC sent them, not XDP.
pub(super) const fn is_by_tc(error: u32) -> bool {
    error & LostKey::BUFFER != 0
}

/// True if an interface that answers so will send no frame of an XDP program.
pub(super) fn is_final(error: u32) -> bool {
    matches!(
        i32::try_from(error),
        Ok(libc::EOPNOTSUPP | libc::ENXIO | libc::EINVAL)
    )
}

impl Losses {
    /// Losses since these counts.
    pub(super) fn since(counts: Counts) -> Self {
        Self {
            said: BTreeMap::new(),
            seen: counts,
        }
    }

    /// All counts.
    pub(super) fn counts(&self) -> &Counts {
        &self.seen
    }

    /// Compares with what was counted by now.
    pub(super) fn update(&mut self, counts: Counts, now: Instant) -> Vec<Loss> {
        let mut losses = Vec::new();
        for (&key, &frames) in &counts {
            let before = self.seen.get(&key).copied().unwrap_or(0);
            if frames <= before {
                continue;
            }
            let said = self.said.get(&key);
            let due = said.is_none_or(|&(at, _)| now >= at + QUIET);
            let report = due.then(|| frames - said.map_or(before, |&(_, frames)| frames));
            if due {
                self.said.insert(key, (now, frames));
            }
            let (interface, error) = key;
            losses.push(Loss {
                interface,
                error,
                report,
            });
        }
        self.said.retain(|key, _| counts.contains_key(key));
        self.seen = counts;
        losses
    }
}

/// The kernel's error for people.
pub(super) fn describe(error: u32) -> String {
    if is_by_tc(error) {
        return describe_drop(drop_reason(error));
    }
    match i32::try_from(error) {
        Ok(0) | Err(_) => "no room in its queue".to_owned(),
        Ok(libc::ENOSPC | libc::EBUSY | libc::ENOBUFS) => "its queue was full".to_owned(),
        Ok(libc::EOPNOTSUPP | libc::ENXIO) => "it takes no frames from XDP".to_owned(),
        Ok(libc::ENETDOWN) => "it is down".to_owned(),
        Ok(libc::EMSGSIZE) => "frames are longer than its MTU".to_owned(),
        Ok(number) => io::Error::from_raw_os_error(number).to_string(),
    }
}

/// The remedy, for people, for frames that an interface did not send; `by_tc`: TC sends there since.
pub(super) fn remedy(interface: &str, error: u32, by_tc: bool) -> String {
    if is_by_tc(error) {
        return remedy_for_drop(interface, drop_reason(error));
    }
    if is_final(error) {
        return if by_tc {
            "TC sends there since, nothing is to be done".to_owned()
        } else {
            format!("it changed since; if more are lost: lvsd --mode {interface}=tc")
        };
    }
    match i32::try_from(error) {
        Ok(libc::ENETDOWN) => format!("set it up: ip link set {interface} up"),
        Ok(libc::EMSGSIZE) => {
            format!("give it the MTU of the others: ip link set {interface} mtu SIZE")
        }
        _ => format!(
            "see its queues (ip -s link show {interface}, ethtool -S {interface}); if it goes on: lvsd --mode \
             {interface}=tc"
        ),
    }
}

/// The kernel's reason for dropping a socket buffer, for people.
fn describe_drop(reason: &str) -> String {
    match reason {
        "" => "its driver or its other end did not take them".to_owned(),
        "DEV_READY" => "it is down".to_owned(),
        "FULL_RING" => "its ring was full".to_owned(),
        "TC_EGRESS" => "a filter of TC dropped them".to_owned(),
        queue if queue.starts_with("QDISC_") => {
            "its queueing discipline (qdisc) was full, or it had no carrier".to_owned()
        }
        neighbour if neighbour.starts_with("NEIGH_") => {
            "the next hop did not answer ARP or neighbour discovery".to_owned()
        }
        other => format!("the kernel's reason: {other}"),
    }
}

/// The remedy for it.
fn remedy_for_drop(interface: &str, reason: &str) -> String {
    match reason {
        "" => format!(
            "see that it and its other end are up and of the same MTU: ip -s link show {interface}"
        ),
        "DEV_READY" => format!("set it up: ip link set {interface} up"),
        "FULL_RING" => format!("whoever reads from {interface} is too slow"),
        "TC_EGRESS" => format!("see tc filter show dev {interface} egress"),
        queue if queue.starts_with("QDISC_") => format!(
            "see tc -s qdisc show dev {interface}; a longer queue: ip link set {interface} txqueuelen SIZE"
        ),
        neighbour if neighbour.starts_with("NEIGH_") => {
            format!("see ip neighbour show dev {interface} nud failed")
        }
        _ => format!("see ip -s link show {interface} and tc -s qdisc show dev {interface}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_reported_at_once_and_then_now_and_then() {
        let now = Instant::now();
        let key = (3, 95);
        let mut losses = Losses::since(Counts::from([(key, 10)]));
        let mut update = |frames, seconds| {
            let found = losses.update(
                Counts::from([(key, frames)]),
                now + Duration::from_secs(seconds),
            );
            found.first().map(|loss| loss.report)
        };
        assert_eq!(update(10, 0), None, "lost before");
        assert_eq!(update(12, 1), Some(Some(2)));
        assert_eq!(update(15, 2), Some(None));
        assert_eq!(update(15, 61), None);
        assert_eq!(update(16, 62), Some(Some(4)));
    }

    #[test]
    fn an_interface_that_cannot_is_told_from_one_that_is_full() {
        let is_final = |error: i32| is_final(error.unsigned_abs());
        assert!(is_final(libc::EOPNOTSUPP));
        assert!(is_final(libc::ENXIO));
        assert!(!is_final(libc::ENETDOWN));
        assert!(!is_final(0));
        let by_tc = libc::EOPNOTSUPP.unsigned_abs() | LostKey::BUFFER;
        assert!(!super::is_final(by_tc), "a reason is no error number");
    }

    #[test]
    fn reasons_of_the_kernel_have_words_and_remedies() {
        assert_eq!(describe_drop("DEV_READY"), "it is down");
        let full = describe_drop("QDISC_OVERLIMIT");
        assert!(full.starts_with("its queueing discipline"), "{full}");
        assert_eq!(describe_drop("NOMEM"), "the kernel's reason: NOMEM");
        let remedy = remedy_for_drop("eth0", "QDISC_DROP");
        assert!(remedy.contains("tc -s qdisc show dev eth0"), "{remedy}");
        assert!(remedy_for_drop("eth0", "").contains("ip -s link show eth0"));
    }
}
