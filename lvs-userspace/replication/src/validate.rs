//! Validates connections and templates of other directors, before anything is looked up for them: what both
//! protocols require. `peer/validate.rs` and `ipvs/validate.rs` call it and add the rules of their own protocol.

use std::net::IpAddr;

use lvs_common::abi::ticks;
use lvs_common::connection::template::ASSURED;
use lvs_common::connection::{Protocol, sctp, tcp};

use crate::discard::Discard;
use crate::replica::Replica;

/// The longest timeout that IPVS allows, in seconds: 31 days.
pub(crate) const LONGEST_TIMEOUT: u32 = 31 * 24 * 60 * 60;

impl Replica {
    /// Refuses what cannot be a connection or template of any director.
    pub(crate) fn validate(&self) -> Result<(), Discard> {
        if self.protocol.is_none() && !self.template {
            return Err(Discard::Protocol);
        }
        if !self.has_possible_addresses() {
            return Err(Discard::Address);
        }
        if usize::from(self.state) >= self.states() {
            return Err(Discard::State);
        }
        let possible = 1..=ticks(LONGEST_TIMEOUT);
        if self
            .timeout
            .is_some_and(|timeout| !possible.contains(&timeout))
        {
            return Err(Discard::Timeout);
        }
        Ok(())
    }

    /// Virtual address and server are looked up, and only possible ones are found; the client's address goes
    /// into the table as it is.
    fn has_possible_addresses(&self) -> bool {
        let client = self.client.ip();
        let host = match client {
            IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_multicast(),
        };
        // A template is of a network, which may be that of all clients.
        let rest = if self.template {
            self.client.port() == 0
        } else {
            !client.is_unspecified() && self.virtual_address.port() != 0
        };
        host && rest
    }

    /// Number of states of its protocol.
    const fn states(&self) -> usize {
        match self.protocol {
            Some(Protocol::Tcp) if !self.template => tcp::State::ALL.len(),
            Some(Protocol::Udp) if !self.template => 1,
            Some(Protocol::Sctp) if !self.template => sctp::State::ALL.len(),
            _ => ASSURED as usize + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Replica {
        Replica {
            protocol: Some(Protocol::Tcp),
            template: false,
            client: "198.51.100.7:40000".parse().unwrap(),
            virtual_address: "192.0.2.10:80".parse().unwrap(),
            state: tcp::State::Established as u8,
            timeout: Some(ticks(900)),
        }
    }

    fn template() -> Replica {
        Replica {
            protocol: None,
            template: true,
            client: "0.0.0.0:0".parse().unwrap(),
            virtual_address: "192.0.2.10:0".parse().unwrap(),
            state: ASSURED,
            timeout: None,
        }
    }

    #[test]
    fn connections_and_templates_are_accepted() {
        let sctp = Replica {
            protocol: Some(Protocol::Sctp),
            state: 13,
            ..connection()
        };
        let longest = Replica {
            timeout: Some(ticks(LONGEST_TIMEOUT)),
            ..connection()
        };
        for replica in [connection(), template(), sctp, longest] {
            assert_eq!(replica.validate(), Ok(()), "{replica:?}");
        }
    }

    #[test]
    fn impossible_ones_are_refused_by_reason() {
        type Change = fn(&mut Replica);
        let changes: [(Change, Discard); 13] = [
            (|it| it.protocol = None, Discard::Protocol),
            (|it| it.client.set_ip([0; 4].into()), Discard::Address),
            (
                |it| it.client.set_ip([224, 0, 0, 1].into()),
                Discard::Address,
            ),
            (|it| it.client.set_ip([255; 4].into()), Discard::Address),
            (
                |it| it.client = "[ff02::1]:1".parse().unwrap(),
                Discard::Address,
            ),
            (|it| it.client = "[::]:1".parse().unwrap(), Discard::Address),
            (|it| it.virtual_address.set_port(0), Discard::Address),
            (|it| it.template = true, Discard::Address),
            (|it| it.state = 11, Discard::State),
            (|it| it.protocol = Some(Protocol::Udp), Discard::State),
            (
                |it| {
                    *it = Replica {
                        state: 2,
                        ..template()
                    }
                },
                Discard::State,
            ),
            (|it| it.timeout = Some(0), Discard::Timeout),
            (
                |it| it.timeout = Some(ticks(LONGEST_TIMEOUT) + 1),
                Discard::Timeout,
            ),
        ];
        for (number, (change, why)) in changes.into_iter().enumerate() {
            let mut it = connection();
            change(&mut it);
            assert_eq!(it.validate(), Err(why), "change {number}");
        }
    }
}
