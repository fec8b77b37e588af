//! Types about ending connections.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use lvs_common::connection::{sctp, tcp};
use serde::{Deserialize, Serialize};

use crate::model::{Protocol, ServiceId};

/// A request to end connections: those that everything named here is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct DropConnections {
    /// Of this virtual service.
    pub service: Option<ServiceId>,
    /// Of clients in this network.
    pub client: Option<Prefix>,
    /// To this real server, deleted ones included; port 0: whatever its port.
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub server: Option<SocketAddr>,
    /// In this state.
    pub state: Option<StateName>,
    /// Without a packet for so many milliseconds at least.
    pub idle_ms: Option<u64>,
    /// Persistence templates, too.
    pub templates: bool,
    /// Every connection. Required where nothing else is named, refused where something is.
    pub all: bool,
    /// Count them, and leave them.
    pub dry_run: bool,
}

impl DropConnections {
    /// Returns whether it names any connections in particular.
    pub const fn is_limited(&self) -> bool {
        self.service.is_some()
            || self.client.is_some()
            || self.server.is_some()
            || self.state.is_some()
            || self.idle_ms.is_some()
    }
}

/// The connections that were ended, or would have been (`dry_run`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Dropped {
    /// Connections; one by NAT counts once.
    pub connections: u64,
    /// Persistence templates.
    pub templates: u64,
}

/// A network of clients, or one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The address before the slash.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Length in bits.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Returns whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - u32::from(self.length)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ
                    .checked_shr(128 - u32::from(self.length))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wrong = || format!("`{word}' is no address or network such as 192.0.2.0/24");
        let (address, length) = match word.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (word, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(digits) => digits.parse().map_err(|_| wrong())?,
        };
        if length > longest {
            return Err(format!("`{word}': a prefix is {longest} bits long at most"));
        }
        let prefix = Self { address, length };
        let network = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        if network == address {
            Ok(prefix)
        } else {
            Err(format!(
                "`{word}' has bits beyond its prefix: {network}/{length} is the network"
            ))
        }
    }
}

impl Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse()
    }
}

/// A state of connections by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StateName {
    /// `half-open`: of any protocol, begun, but the handshake is not complete.
    HalfOpen,
    /// `unproven`: half-open, closing, or of so few packets that it may be recycled when room is short.
    Unproven,
    /// As `ipvsadm -Lnc` names it, of this protocol; with its number.
    Of(Protocol, u8),
}

/// Every state with its name. `sctp:` stands before those of SCTP, because TCP has some of the names, too.
fn states() -> impl Iterator<Item = (String, StateName)> {
    let plain = [
        ("half-open".to_owned(), StateName::HalfOpen),
        ("unproven".to_owned(), StateName::Unproven),
        ("udp".to_owned(), StateName::Of(Protocol::Udp, 0)),
    ];
    let tcp = tcp::State::ALL.into_iter().map(|state| {
        let name = state.name().to_lowercase();
        (name, StateName::Of(Protocol::Tcp, state as u8))
    });
    let sctp = sctp::State::ALL.into_iter().map(|state| {
        let name = format!("sctp:{}", state.name().to_lowercase());
        (name, StateName::Of(Protocol::Sctp, state as u8))
    });
    plain.into_iter().chain(tcp).chain(sctp)
}

impl FromStr for StateName {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let lower = word.to_lowercase();
        let found = states().find(|(name, _)| *name == lower);
        found.map(|(_, state)| state).ok_or_else(|| {
            let names: Vec<_> = states().map(|(name, _)| name).collect();
            format!("`{word}' is no state; there are {}", names.join(", "))
        })
    }
}

impl Display for StateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = states().find(|(_, state)| state == self);
        formatter.write_str(&found.map_or_else(String::new, |(name, _)| name))
    }
}

impl From<StateName> for String {
    fn from(state: StateName) -> Self {
        state.to_string()
    }
}

impl TryFrom<String> for StateName {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(word: &str) -> Result<Prefix, String> {
        word.parse()
    }

    #[test]
    fn a_prefix_contains_the_addresses_of_its_network_and_family() {
        let contains = |network, address: &str| {
            let network = prefix(network).expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.6"));
    }

    #[test]
    fn a_prefix_that_cannot_be_meant_is_refused_with_the_reason() {
        for word in [
            "",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "::/129",
            "web",
            "192.0.2.1/24",
        ] {
            assert!(
                prefix(word).is_err_and(|error| error.contains(word)),
                "{word}"
            );
        }
        let error = prefix("192.0.2.1/24").expect_err("host bits");
        assert!(error.ends_with("192.0.2.0/24 is the network"), "{error}");
    }

    #[test]
    fn states_are_read_back_from_their_names() {
        let mut seen = std::collections::HashSet::new();
        for (name, state) in states() {
            assert!(seen.insert(name.clone()), "{name} twice");
            assert_eq!(name.to_uppercase().parse(), Ok(state));
            assert_eq!(state.to_string(), name);
        }
        let error = "DONE".parse::<StateName>().expect_err("no such state");
        assert!(
            error.contains("established") && error.contains("unproven"),
            "{error}"
        );
    }

    #[test]
    fn an_order_is_read_back_from_its_json() {
        let request = DropConnections {
            client: prefix("2001:db8::/32").ok(),
            state: "unproven".parse().ok(),
            dry_run: true,
            ..DropConnections::default()
        };
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(
            serde_json::from_str::<DropConnections>(&text).ok(),
            Some(request)
        );
        assert!(crate::strict::from_str::<DropConnections>(r#"{"clients":"::/0"}"#).is_err());
    }
}
