//! Virtual addresses as text: `ADDRESS/PREFIX@INTERFACE`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address, and the interface it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VirtualAddress {
    /// Of IPv4 or IPv6, of one host.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix: u8,
    /// Name of the interface.
    pub interface: String,
}

/// An error in the text of a virtual address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no `@`.
    #[error("it has no interface: it is ADDRESS/PREFIX@INTERFACE, such as 192.0.2.10/32@eth0")]
    NoInterface,
    /// No interface can be called that.
    #[error("no interface can have the name `{0}'")]
    Interface(String),
    /// The part before the `/` is no address.
    #[error("`{0}' is no address")]
    Address(String),
    /// It is not an address of one host.
    #[error("{0} is not an address of one host")]
    Host(IpAddr),
    /// The part behind the `/` is no length of a prefix.
    #[error("`{0}' is no length of a prefix: it is a number of bits, such as 32")]
    Prefix(String),
}

/// Bytes of an interface's name at most (`IFNAMSIZ` less the end).
const LONGEST_NAME: usize = 15;

impl FromStr for VirtualAddress {
    type Err = NameError;

    /// Without a prefix it is the address alone: /32 or /128.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (network, interface) = text.rsplit_once('@').ok_or(NameError::NoInterface)?;
        let sensible = |c: char| c.is_ascii_graphic() && c != '/';
        if interface.is_empty()
            || interface.len() > LONGEST_NAME
            || [".", ".."].contains(&interface)
            || !interface.chars().all(sensible)
        {
            return Err(NameError::Interface(interface.to_owned()));
        }
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (network, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| NameError::Address(address.to_owned()))?;
        let one_host = match address {
            IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_loopback(),
            IpAddr::V6(v6) => !v6.is_loopback() && v6.to_ipv4_mapped().is_none(),
        };
        if !one_host || address.is_unspecified() || address.is_multicast() {
            return Err(NameError::Host(address));
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| (1..=longest).contains(bits))
                .ok_or_else(|| NameError::Prefix(bits.to_owned()))?,
        };
        Ok(Self {
            address,
            prefix,
            interface: interface.to_owned(),
        })
    }
}

impl TryFrom<String> for VirtualAddress {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<VirtualAddress> for String {
    fn from(address: VirtualAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.address, self.prefix, self.interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_and_an_interface() {
        for (text, full) in [
            ("192.0.2.10/24@eth0", "192.0.2.10/24@eth0"),
            ("192.0.2.10@eth0.5", "192.0.2.10/32@eth0.5"),
            ("2001:db8::1@bond0", "2001:db8::1/128@bond0"),
            ("2001:db8::1/64@br-lan", "2001:db8::1/64@br-lan"),
        ] {
            let parsed = text.parse::<VirtualAddress>().map(|a| a.to_string());
            assert_eq!(parsed.as_deref(), Ok(full));
        }
    }

    #[test]
    fn addresses_that_no_host_can_hold_are_refused() {
        for text in [
            "192.0.2.10/24",
            "192.0.2.10/24@",
            "192.0.2.10/24@sixteen-letters!",
            "192.0.2.10/24@a/b",
            "192.0.2.10@a@b",
            "192.0.2.10/33@eth0",
            "192.0.2.10/0@eth0",
            "192.0.2.10/x@eth0",
            "192.0.2/24@eth0",
            "0.0.0.0/32@eth0",
            "224.0.0.1/32@eth0",
            "255.255.255.255@eth0",
            "127.0.0.2@lo",
            "::/128@eth0",
            "::1/128@lo",
            "::ffff:192.0.2.1/128@eth0",
            "ff02::1/128@eth0",
            "@eth0",
            "",
        ] {
            assert!(text.parse::<VirtualAddress>().is_err(), "{text}");
        }
    }
}
