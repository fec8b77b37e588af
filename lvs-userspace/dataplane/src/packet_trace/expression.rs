//! The expression of a trace filter, and its evaluation for one packet.

use std::net::IpAddr;

use lvs_api::connections::Prefix;
use lvs_api::model::ServiceId;

use super::facts::Facts;
use super::flow::Flow;

/// The side of a packet that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Either,
    Source,
    Destination,
}

/// Something that is true of a packet or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Any,
    Net(Side, Prefix),
    Ports(Side, [u16; 2]),
    Protocol(u8),
    /// 4 or 6.
    Family(u8),
    Interface(String),
    Service(Service),
    Server(IpAddr, Option<u16>),
    /// A verdict, or the beginning of some.
    Verdict(String),
    /// The packet began its connection.
    New,
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

/// A virtual service as a filter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Of this address; protocol and port where they are named.
    Address(Option<u8>, IpAddr, Option<u16>),
    Mark(u32),
}

impl Test {
    /// Returns whether it is true of a packet.
    pub(super) fn matches(&self, facts: &Facts) -> bool {
        let any = |test: &dyn Fn(&Flow) -> bool| facts.flows().any(|flow| test(&flow));
        match self {
            Self::Any => true,
            Self::Net(side, prefix) => any(&|flow| {
                side.either(
                    || prefix.contains(flow.source),
                    || prefix.contains(flow.destination),
                )
            }),
            Self::Ports(side, [first, last]) => any(&|flow| {
                let within = |port: u16| (*first..=*last).contains(&port);
                flow.ports
                    .is_some_and(|[from, to]| side.either(|| within(from), || within(to)))
            }),
            Self::Protocol(number) => any(&|flow| flow.protocol == *number),
            Self::Family(family) => any(&|flow| flow.source.is_ipv4() == (*family == 4)),
            Self::Interface(name) => facts.interface == *name,
            Self::Service(service) => facts.service.is_some_and(|id| service.is(&id)),
            Self::Server(address, port) => facts.server.is_some_and(|server| {
                server.ip() == *address && port.is_none_or(|port| port == server.port())
            }),
            Self::Verdict(name) => {
                let rest = facts.verdict.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            }
            Self::New => facts.is_new,
            Self::Not(test) => !test.matches(facts),
            Self::And(one, other) => one.matches(facts) && other.matches(facts),
            Self::Or(one, other) => one.matches(facts) || other.matches(facts),
        }
    }
}

impl Side {
    fn either(self, source: impl Fn() -> bool, destination: impl Fn() -> bool) -> bool {
        match self {
            Self::Either => source() || destination(),
            Self::Source => source(),
            Self::Destination => destination(),
        }
    }
}

impl Service {
    /// Returns whether it names this virtual service.
    pub(super) fn is(&self, id: &ServiceId) -> bool {
        match (self, id) {
            (
                Self::Address(protocol, wanted, port),
                ServiceId::Address {
                    protocol: of,
                    address,
                },
            ) => {
                let of = lvs_common::connection::Protocol::from(*of).number();
                address.ip() == *wanted
                    && port.is_none_or(|port| port == address.port())
                    && protocol.is_none_or(|protocol| protocol == of)
            }
            (Self::Mark(wanted), ServiceId::Mark { mark, .. }) => mark == wanted,
            _ => false,
        }
    }
}
