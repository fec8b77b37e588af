//! Source addresses and ports for full NAT, as they are written everywhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most addresses of one real server.
pub const MAX_ADDRESSES: u32 = 256;

/// The grammar, in the words of errors.
pub const GRAMMAR: &str =
    "auto[:PORT-PORT], ADDRESS[-ADDRESS][:PORT-PORT] or [IPv6 ADDRESS[-ADDRESS]]:PORT-PORT";

/// Addresses of the director, and ports of each, as which a real server sees clients (full NAT). In JSON it is a
/// text: `auto`, `10.0.0.1`, `10.0.0.1-10.0.0.4:2000-2999`, `[fd00::1-fd00::4]:2000-2999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Snat {
    /// The first and the last address; `None`: the one of the route to the real server.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The first and the last port; `None`: those that the director's own sockets leave alone.
    pub ports: Option<(u16, u16)>,
}

/// A text that names no source addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSnat(String);

impl fmt::Display for InvalidSnat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSnat {}

impl Snat {
    /// Number of addresses; 0: the last one is below the first, of another family, or too far away.
    pub fn address_count(&self) -> u32 {
        let distance = match self.addresses {
            None => Some(0),
            Some((IpAddr::V4(first), IpAddr::V4(last))) => {
                last.to_bits().checked_sub(first.to_bits())
            }
            // Addresses are counted up in their lowest 32 bits.
            Some((IpAddr::V6(first), IpAddr::V6(last))) => {
                let (first, last) = (first.to_bits(), last.to_bits());
                let distance = last
                    .checked_sub(first)
                    .and_then(|distance| u32::try_from(distance).ok());
                distance.filter(|_| first >> 32 == last >> 32)
            }
            Some(_) => None,
        };
        distance
            .filter(|distance| *distance < MAX_ADDRESSES)
            .map_or(0, |distance| distance + 1)
    }

    /// All addresses, none for the route's.
    pub fn all_addresses(self) -> impl Iterator<Item = IpAddr> {
        let first = self.addresses.map(|(first, _)| first);
        (0..self.address_count()).filter_map(move |above| {
            Some(match first? {
                IpAddr::V4(first) => {
                    Ipv4Addr::from_bits(first.to_bits().wrapping_add(above)).into()
                }
                IpAddr::V6(first) => {
                    Ipv6Addr::from_bits(first.to_bits().wrapping_add(above.into())).into()
                }
            })
        })
    }

    /// True if the addresses are of IPv4; `None`: the route's may be of either family.
    pub fn is_ipv4(&self) -> Option<bool> {
        self.addresses.map(|(first, _)| first.is_ipv4())
    }
}

impl fmt::Display for Snat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = match self.addresses {
            None => "auto".to_owned(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        match self.ports {
            None => formatter.write_str(&addresses),
            Some((first, last)) if self.is_ipv4() == Some(false) => {
                write!(formatter, "[{addresses}]:{first}-{last}")
            }
            Some((first, last)) => write!(formatter, "{addresses}:{first}-{last}"),
        }
    }
}

impl FromStr for Snat {
    type Err = InvalidSnat;

    fn from_str(text: &str) -> Result<Self, InvalidSnat> {
        let invalid = |why: &str| InvalidSnat(format!("\"{text}\": {why}"));
        let (addresses, ports) = if let Some(rest) = text.strip_prefix('[') {
            let (addresses, rest) = rest
                .split_once(']')
                .ok_or_else(|| invalid("a bracket is not closed"))?;
            let ports = rest.strip_prefix(':');
            if ports.is_none() && !rest.is_empty() {
                return Err(invalid("ports follow a bracket and a colon"));
            }
            (addresses, ports)
        } else {
            match text.split_once(':') {
                // IPv6 without brackets has no ports.
                Some((_, rest)) if rest.contains(':') => (text, None),
                Some((addresses, ports)) => (addresses, Some(ports)),
                None => (text, None),
            }
        };
        let ports = ports
            .map(|ports| {
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
                let range = port(first).zip(port(last));
                range.filter(|(first, last)| first <= last).ok_or_else(|| {
                    invalid("the ports are two numbers from 1 to 65535, the lower one first")
                })
            })
            .transpose()?;
        if addresses == "auto" {
            return Ok(Self {
                addresses: None,
                ports,
            });
        }
        let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
        let address = |text: &str| text.parse::<IpAddr>().ok();
        let range = address(first).zip(address(last));
        let snat = Self {
            addresses: Some(range.ok_or_else(|| invalid(&format!("it is not {GRAMMAR}")))?),
            ports,
        };
        if snat.address_count() == 0 {
            return Err(invalid(
                "the range has 1 to 256 addresses, the lowest one first",
            ));
        }
        Ok(snat)
    }
}

impl TryFrom<String> for Snat {
    type Error = InvalidSnat;

    fn try_from(text: String) -> Result<Self, InvalidSnat> {
        text.parse()
    }
}

impl From<Snat> for String {
    fn from(snat: Snat) -> Self {
        snat.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in [
            "auto",
            "auto:2000-2999",
            "10.0.0.1",
            "10.0.0.1-10.0.0.4",
            "10.0.0.255-10.0.1.2:1024-65535",
            "fd00::1",
            "fd00::1-fd00::4",
            "[fd00::1]:2000-2000",
            "[fd00::1-fd00::ff]:2000-2999",
        ] {
            let snat: Snat = text.parse().unwrap();
            assert_eq!(snat.to_string(), text);
            let json = serde_json::to_string(&snat).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Snat>(&json).unwrap(), snat);
        }
        let one: Snat = "10.0.0.1:80".parse().unwrap();
        assert_eq!(one.to_string(), "10.0.0.1:80-80");
        let range: Snat = "10.0.0.254-10.0.1.1".parse().unwrap();
        let all: Vec<_> = range
            .all_addresses()
            .map(|address| address.to_string())
            .collect();
        assert_eq!(all, ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]);
    }

    #[test]
    fn other_texts_are_refused_with_a_reason() {
        for text in [
            "",
            "any",
            "10.0.0",
            "10.0.0.4-10.0.0.1",
            "10.0.0.1-fd00::1",
            "10.0.0.1-10.0.1.1",
            "10.0.0.1:0",
            "10.0.0.1:2-1",
            "10.0.0.1:1-65536",
            "10.0.0.1:",
            "[fd00::1",
            "[fd00::1]80",
            "fd00::1-fd01::1",
            "fd00::ffff:ffff-fd00::1:0:0",
        ] {
            let refused = text.parse::<Snat>().unwrap_err().to_string();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
