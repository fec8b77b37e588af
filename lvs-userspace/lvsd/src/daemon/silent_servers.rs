//! Real servers in service that answer no client: connections that only ever see SYNs. Pure: time is an argument.
//!
//! Health checks of a server's own address cannot see that: by direct routing and tunnel the virtual address may be
//! missing there, by NAT the way back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lvs_api::model::{Method, ServerId, ServiceId};
use lvs_api::protocol::Traffic;
use lvs_dataplane::director::SynRetries;

/// SYNs without an answer from which on a server is silent.
const SYNS: u64 = 8;
/// For so long: a server that died is found out by its health checks before.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server without a repeated SYN for so long is forgotten.
const MEMORY: Duration = Duration::from_mins(10);

/// A real server of a virtual service.
type Key = (ServiceId, ServerId);

/// Servers that leave SYNs without an answer.
#[derive(Debug, Default)]
pub(super) struct SilentServers(HashMap<Key, Silence>);

#[derive(Debug)]
struct Silence {
    since: Instant,
    last: Instant,
    /// Repeated SYNs since then.
    syns: u64,
    /// Counters of then.
    before: Traffic,
    reported: bool,
}

impl SilentServers {
    /// Records repeated SYNs; returns what to tell about servers that turned out to be silent.
    pub(super) fn record(
        &mut self,
        found: &[SynRetries],
        now: Instant,
    ) -> Vec<(ServiceId, ServerId, String)> {
        self.0
            .retain(|_, silence| now.saturating_duration_since(silence.last) < MEMORY);
        found
            .iter()
            .filter_map(|found| {
                let text = self.one(found, now)?;
                Some((found.service, found.server, text))
            })
            .collect()
    }

    fn one(&mut self, found: &SynRetries, now: Instant) -> Option<String> {
        let key = (found.service, found.server);
        let new = || Silence {
            since: now,
            last: now,
            syns: 0,
            before: found.traffic,
            reported: false,
        };
        let silence = self.0.entry(key).or_insert_with(new);
        let (before, after) = (silence.before, found.traffic);
        silence.syns += u64::from(found.syns);
        silence.last = now;
        let connections = after.connections.saturating_sub(before.connections);
        let packets = after.in_packets.saturating_sub(before.in_packets);
        // A few may have come between two counters.
        let syns = connections + silence.syns + connections / 16 + 4;
        if packets > syns || after.out_packets != before.out_packets {
            *silence = new();
            return None;
        }
        let lasts = now.saturating_duration_since(silence.since) >= PATIENCE;
        if silence.reported || !lasts || silence.syns < SYNS {
            return None;
        }
        silence.reported = true;
        let seconds = PATIENCE.as_secs();
        Some(format!(
            "answers no client: for {seconds} s nothing but SYNs came for it ({} repeated); {}",
            silence.syns,
            reasons(found.method)
        ))
    }

    /// Returns whether it was reported, and has not answered since.
    pub(super) fn is_reported(&self, service: &ServiceId, server: ServerId) -> bool {
        let silence = self.0.get(&(*service, server));
        silence.is_some_and(|silence| silence.reported)
    }
}

/// Likely reasons, as questions.
const fn reasons(method: Method) -> &'static str {
    match method {
        Method::Direct => {
            "has it the virtual address (on lo, with arp_ignore = 1 and arp_announce = 2), and does its program listen \
             there?"
        }
        Method::Nat => {
            "is this director its default route, so that replies come back (or snat = auto, --snat)?"
        }
        Method::Tunnel => {
            "has it a tunnel device that is up (tunl0, gre0; ip fou add for gue), the virtual address on it, and rp_filter = 0 or 2?"
        }
        Method::Local => "does a program of this machine listen at the virtual address?",
    }
}

#[cfg(test)]
mod tests {
    use lvs_api::model::Protocol;

    use super::*;

    fn found(syns: u32, connections: u64, in_packets: u64) -> SynRetries {
        SynRetries {
            service: ServiceId::Address {
                protocol: Protocol::Tcp,
                address: ([192, 0, 2, 10], 80).into(),
            },
            server: ServerId(([10, 0, 0, 1], 80).into()),
            method: Method::Direct,
            syns,
            traffic: Traffic {
                connections,
                in_packets,
                ..Traffic::default()
            },
        }
    }

    #[test]
    fn a_server_that_sees_nothing_but_syns_for_a_while_is_told_of_once() {
        let now = Instant::now();
        let mut silent = SilentServers::default();
        let mut told = 0;
        for second in 0..30_u32 {
            let later = now + Duration::from_secs(second.into());
            let count = u64::from(second) + 1;
            let news = silent.record(&[found(1, count, 2 * count)], later);
            if let [(_, _, text)] = &news[..] {
                assert!(text.contains("arp_ignore"), "{text}");
                assert_eq!(second, 10);
                told += 1;
            }
        }
        assert_eq!(told, 1);
        let one = found(1, 1, 1);
        assert!(silent.is_reported(&one.service, one.server));
    }

    #[test]
    fn a_server_that_answers_some_is_not_silent() {
        let now = Instant::now();
        let mut silent = SilentServers::default();
        for second in 0..30_u32 {
            let later = now + Duration::from_secs(second.into());
            let count = u64::from(second) + 1;
            // Of two connections one gets its answer.
            let news = silent.record(&[found(1, 2 * count, 8 * count)], later);
            assert_eq!(news, []);
        }
    }
}
