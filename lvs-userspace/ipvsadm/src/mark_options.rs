//! Options of `--mark`: the packets that carry a mark, named as iptables names them.

use std::fmt;
use std::net::SocketAddr;

use lvs_api::mark::{MarkRule, Network, PortRange};
use lvs_api::model::{Protocol, ServiceId};

use super::error::UsageError;
use super::option::OptionName;
use super::service_options;

/// The options of `--mark` beside a service.
#[derive(Default)]
pub(super) struct MarkOptions {
    /// The mark; 0 removes the rule, unless it is for packets without one.
    pub(super) mark: u32,
    /// The packets carry none.
    pub(super) unmarked: bool,
    /// Given, but `all`: none.
    protocol: Option<Protocol>,
    protocol_given: bool,
    destination: Option<Network>,
    ports: Option<PortRange>,
    source: Option<Network>,
    source_ports: Option<PortRange>,
    interface: Option<String>,
}

impl MarkOptions {
    /// Parses the value of `--mark`.
    pub(super) fn set_mark(&mut self, text: &str) -> Result<(), UsageError> {
        self.unmarked = text == "none";
        if !self.unmarked {
            self.mark = service_options::mark(text, 0)?;
        }
        Ok(())
    }

    /// Parses an option; false: it is none of `--mark`.
    pub(super) fn set(&mut self, option: OptionName, text: &str) -> Result<bool, UsageError> {
        let wrong = |why| UsageError::MarkOption {
            option: option.name(),
            why,
        };
        match option {
            OptionName::Protocol => {
                self.protocol = protocol(text).map_err(wrong)?;
                self.protocol_given = true;
            }
            OptionName::Destination => self.destination = Some(text.parse().map_err(wrong)?),
            OptionName::DestinationPort => self.ports = Some(text.parse().map_err(wrong)?),
            OptionName::Source => self.source = Some(text.parse().map_err(wrong)?),
            OptionName::SourcePort => self.source_ports = Some(text.parse().map_err(wrong)?),
            OptionName::InInterface => self.interface = Some(text.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The rule of a command line with this service, if it names one.
    pub(super) fn rule(&self, service: Option<ServiceId>) -> Result<MarkRule, UsageError> {
        let conflict = |option: OptionName| UsageError::Conflict {
            option: option.name(),
            other: OptionName::Service.name(),
            command: "mark",
        };
        let mut rule = match (service, self.destination) {
            (Some(ServiceId::Mark { .. }), _) => return Err(UsageError::ServiceAddress),
            (Some(ServiceId::Address { protocol, address }), None) => {
                if self.protocol_given {
                    return Err(conflict(OptionName::Protocol));
                }
                if self.ports.is_some() {
                    return Err(conflict(OptionName::DestinationPort));
                }
                MarkRule::to_address(protocol, address, self.mark)
            }
            (Some(_), Some(_)) => return Err(conflict(OptionName::Destination)),
            (None, Some(destination)) => {
                let ports = self.ports;
                let first = ports.map_or(0, |ports| ports.first);
                MarkRule {
                    protocol: self.protocol,
                    address: SocketAddr::new(destination.address, first),
                    prefix: Some(destination.prefix),
                    last_port: ports.map(|ports| ports.last),
                    source: None,
                    source_ports: None,
                    interface: None,
                    mark: self.mark,
                    unmarked: false,
                }
            }
            (None, None) => {
                return Err(UsageError::Missing {
                    option: OptionName::Service.name(),
                    command: "mark",
                });
            }
        };
        rule.unmarked = self.unmarked;
        rule.source = self.source;
        rule.source_ports = self.source_ports;
        rule.interface.clone_from(&self.interface);
        rule.canonical().map_err(|why| UsageError::MarkOption {
            option: "mark",
            why,
        })
    }
}

/// A protocol as iptables names it; none: all.
pub(super) fn protocol(text: &str) -> Result<Option<Protocol>, String> {
    match text {
        "tcp" | "6" => Ok(Some(Protocol::Tcp)),
        "udp" | "17" => Ok(Some(Protocol::Udp)),
        "sctp" | "132" => Ok(Some(Protocol::Sctp)),
        "all" | "0" => Ok(None),
        other => Err(format!("protocol {other}")),
    }
}

/// A rule as the options that make it.
pub struct Options<'a>(pub &'a MarkRule);

impl fmt::Display for Options<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        if rule.unmarked {
            write!(formatter, "--mark none")?;
        } else {
            write!(formatter, "--mark {}", rule.mark)?;
        }
        match (rule.protocol, rule.prefix, rule.last_port) {
            (Some(protocol), None, None) => {
                let option = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                write!(formatter, " {option} {}", rule.address)?;
            }
            (protocol, _, last) => {
                let protocol = match protocol {
                    Some(Protocol::Tcp) => " --protocol tcp",
                    Some(Protocol::Udp) => " --protocol udp",
                    Some(Protocol::Sctp) => " --protocol sctp",
                    None => "",
                };
                let destination = rule.destination();
                write!(formatter, "{protocol} --destination {destination}")?;
                let first = rule.address.port();
                if first != 0 || last.is_some() {
                    let last = last.unwrap_or(first);
                    write!(formatter, " --dport {}", PortRange { first, last })?;
                }
            }
        }
        if let Some(source) = rule.source {
            write!(formatter, " --source {source}")?;
        }
        if let Some(ports) = rule.source_ports {
            write!(formatter, " --sport {ports}")?;
        }
        if let Some(interface) = &rule.interface {
            write!(formatter, " --in-interface {interface}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lvs_api::protocol::Edit;

    use super::*;
    use crate::restore::parse_line;

    fn rule(line: &str) -> MarkRule {
        match parse_line(line) {
            Ok(Some(Edit::Mark(rule))) => rule,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_printed_options_make_the_rule_again() {
        for line in [
            "--mark 7 -t 192.0.2.10:443",
            "--mark 7 -u 192.0.2.10:0",
            "--mark 7 --sctp-service [2001:db8::1]:80",
            "--mark 7 -t 192.0.2.10:443 --source 198.51.100.0/24 --sport 1024:65535 --in-interface eth0",
            "--mark 7 --protocol tcp --destination 192.0.2.0/24 --dport 80:443",
            "--mark 7 --destination 192.0.2.10/32",
            "--mark none -t 192.0.2.10:443 --in-interface eth+",
            "--mark 7 --destination 2001:db8::/32 --source 2001:db8:1::/48",
            "--mark 0 --protocol udp --destination 0.0.0.0/0 --dport 0:1023",
        ] {
            assert_eq!(Options(&rule(line)).to_string(), line);
        }
        // Two ways to write the same.
        let one = rule("--mark 7 --protocol tcp --destination 192.0.2.10 --dport 443");
        assert_eq!(one, rule("--mark 7 -t 192.0.2.10:443"));
    }

    #[test]
    fn contradictions_and_wrong_values_are_refused() {
        for (line, words) in [
            ("--mark 7", "supply the 'service-address' option"),
            (
                "--mark 7 --source 192.0.2.0/24",
                "supply the 'service-address' option",
            ),
            ("--mark 7 -f 3", "illegal virtual server address"),
            (
                "--mark 7 -t 192.0.2.1:80 --destination 192.0.2.1",
                "conflicts",
            ),
            ("--mark 7 -t 192.0.2.1:80 --dport 80", "conflicts"),
            ("--mark 7 -t 192.0.2.1:80 --protocol tcp", "conflicts"),
            ("--mark 7 -t 192.0.2.1:80 --source ::/0", "address families"),
            ("--mark 7 -t 192.0.2.1:80 --source here", "no network"),
            (
                "--mark 7 -t 192.0.2.1:80 --sport 9:8",
                "no ports from 9 to 8",
            ),
            ("--mark 7 -t 192.0.2.1:80 --in-interface a/b", "a/b"),
            ("--mark no -t 192.0.2.1:80", "no"),
            (
                "--mark 7 --destination 192.0.2.1 --protocol icmp",
                "protocol icmp",
            ),
            (
                "-D -t 192.0.2.1:80 --source 192.0.2.0/24",
                "Illegal 'source' option",
            ),
        ] {
            let said = parse_line(line).unwrap_err().to_string();
            assert!(said.contains(words), "{line}: {said}");
        }
    }
}
