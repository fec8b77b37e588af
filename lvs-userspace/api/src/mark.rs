//! Rules that give packets firewall marks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::Protocol;

/// Rule that gives packets a firewall mark. Of several rules that match a packet the last one holds, as in
/// netfilter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct MarkRule {
    /// Transport protocol; none: any that is balanced.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Destination address, and the first destination port; port 0: every port.
    #[cfg_attr(test, schema(value_type = String))]
    pub address: SocketAddr,
    /// Prefix length of the destination network; none: a single address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// Last destination port; none: there is only the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
    /// Source network; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Network>,
    /// Source ports; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<PortRange>,
    /// Name of the interface that packets come by, or with `+` at its end the beginning of several names; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The mark; 0 removes the rule, unless it is for packets without one.
    pub mark: u32,
    /// The packets carry no mark, whatever rules before this one say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unmarked: bool,
}

/// The longest name of an interface in bytes (`IFNAMSIZ`, with the zero at its end).
const LONGEST_NAME: usize = 15;

impl MarkRule {
    /// The rule for a single destination address and port of a protocol.
    pub const fn to_address(protocol: Protocol, address: SocketAddr, mark: u32) -> Self {
        Self {
            protocol: Some(protocol),
            address,
            prefix: None,
            last_port: None,
            source: None,
            source_ports: None,
            interface: None,
            mark,
            unmarked: false,
        }
    }

    /// The same rule as it is kept: of several ways to write it there is one left.
    ///
    /// # Errors
    ///
    /// The reason why no packet can match it.
    pub fn canonical(&self) -> Result<Self, String> {
        let mut rule = self.clone();
        let (address, port) = (self.address.ip(), self.address.port());
        let network = Network::new(address, self.prefix.unwrap_or_else(|| width(address)))?;
        rule.address = SocketAddr::new(network.address, port);
        rule.prefix = (network.prefix != width(address)).then_some(network.prefix);
        let last = self.last_port.unwrap_or(port);
        if last < port {
            return Err(format!("there are no ports from {port} to {last}"));
        }
        rule.last_port = (last != port).then_some(last);
        if port <= 1 && last == u16::MAX {
            (rule.address, rule.last_port) = (SocketAddr::new(network.address, 0), None);
        }
        if let Some(source) = self.source {
            if source.address.is_ipv4() != address.is_ipv4() {
                return Err("source and destination are of different address families".to_owned());
            }
            let source = Network::new(source.address, source.prefix)?;
            rule.source = (source.prefix != 0).then_some(source);
        }
        if let Some(PortRange { first, last }) = self.source_ports {
            if last < first {
                return Err(format!("there are no ports from {first} to {last}"));
            }
            rule.source_ports = self.source_ports.filter(|_| first > 0 || last < u16::MAX);
        }
        if let Some(name) = &self.interface {
            let odd = |byte: u8| byte == b'/' || !byte.is_ascii_graphic();
            if name.is_empty() || name.len() > LONGEST_NAME || name.bytes().any(odd) {
                return Err(format!("no interface has the name \"{name}\""));
            }
            if name == "+" {
                rule.interface = None;
            }
        }
        if rule.unmarked && rule.mark != 0 {
            return Err(format!("a packet carries the mark {} or none", rule.mark));
        }
        Ok(rule)
    }

    /// True if it removes the rule about the same packets.
    pub const fn removes(&self) -> bool {
        self.mark == 0 && !self.unmarked
    }

    /// True if both are about the same packets.
    pub fn matches_same(&self, other: &Self) -> bool {
        let Self { mark, unmarked, .. } = *other;
        Self {
            mark,
            unmarked,
            ..self.clone()
        } == *other
    }

    /// Destination network.
    pub fn destination(&self) -> Network {
        let address = self.address.ip();
        Network {
            address,
            prefix: self.prefix.unwrap_or_else(|| width(address)),
        }
    }
}

/// Bits of an address.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// A network: text like `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// Its address, all bits beyond the prefix zero.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

impl Network {
    /// The network of an address.
    ///
    /// # Errors
    ///
    /// The prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, String> {
        if prefix > width(address) {
            return Err(format!("a prefix has at most {} bits", width(address)));
        }
        let address = match address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & !host).into())
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & !host).into())
            }
        };
        Ok(Self { address, prefix })
    }

    /// True if there are addresses that are in both.
    pub fn meets(&self, other: &Self) -> bool {
        let (wide, narrow) = if self.prefix <= other.prefix {
            (self, other)
        } else {
            (other, self)
        };
        Self::new(narrow.address, wide.prefix) == Ok(*wide)
    }

    /// True if it is a single address.
    pub const fn is_address(&self) -> bool {
        self.prefix == width(self.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl FromStr for Network {
    type Err = String;

    /// An address alone is a network of its own. A mask may stand for the prefix length of an IPv4 network.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no network");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            None => width(address),
            Some(prefix) => match (prefix.parse::<u8>(), prefix.parse::<std::net::Ipv4Addr>()) {
                (Ok(prefix), _) => prefix,
                (_, Ok(mask)) if address.is_ipv4() => {
                    let bits = mask.to_bits();
                    let prefix = bits.leading_ones();
                    if bits.checked_shl(prefix).unwrap_or(0) != 0 {
                        return Err(wrong());
                    }
                    u8::try_from(prefix).map_err(|_| wrong())?
                }
                _ => return Err(wrong()),
            },
        };
        Self::new(address, prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last {
            write!(formatter, "{first}")
        } else {
            write!(formatter, "{first}:{last}")
        }
    }
}

impl FromStr for PortRange {
    type Err = String;

    /// A port, or the first and the last one as netfilter writes them: `80:90`, `1024:`, `:1023`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        let port = |text: &str, open: u16| match text {
            "" => Ok(open),
            text => text
                .parse()
                .map_err(|_| format!("\"{text}\" is no port number")),
        };
        if text.is_empty() {
            return Err("there is no port number".to_owned());
        }
        let (first, last) = (port(first, 0)?, port(last, u16::MAX)?);
        if last < first {
            return Err(format!("there are no ports from {first} to {last}"));
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_ports_are_read_as_netfilter_writes_them() {
        for (text, read) in [
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7/255.255.255.0", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::7/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), read);
        }
        for text in [
            "192.0.2.0/33",
            "192.0.2.0/255.0.255.0",
            "host",
            "",
            "::/129",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        for (text, read) in [
            ("80", "80"),
            ("80:90", "80:90"),
            (":90", "0:90"),
            ("80:", "80:65535"),
        ] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), read);
        }
        for text in ["", "x", "90:80", "65536", "1:2:3"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_older_rule_is_read_and_there_is_one_way_to_keep_each() {
        let old = r#"{"protocol":"tcp","address":"192.0.2.10:443","mark":7}"#;
        let rule: MarkRule = serde_json::from_str(old).unwrap();
        let address = "192.0.2.10:443".parse().unwrap();
        assert_eq!(rule, MarkRule::to_address(Protocol::Tcp, address, 7));
        assert_eq!(serde_json::to_string(&rule).unwrap(), old);
        let spelled_out = MarkRule {
            prefix: Some(32),
            last_port: Some(443),
            source: Some("0.0.0.0/0".parse().unwrap()),
            source_ports: Some("0:65535".parse().unwrap()),
            ..rule.clone()
        };
        assert_eq!(spelled_out.canonical().unwrap(), rule);
        let source: Network = "::/0".parse().unwrap();
        for wrong in [
            MarkRule {
                last_port: Some(1),
                ..rule.clone()
            },
            MarkRule {
                source: Some(source),
                ..rule.clone()
            },
            MarkRule {
                unmarked: true,
                ..rule.clone()
            },
            MarkRule {
                interface: Some("a name that is too long".into()),
                ..rule
            },
        ] {
            assert!(wrong.canonical().is_err(), "{wrong:?}");
        }
    }
}
