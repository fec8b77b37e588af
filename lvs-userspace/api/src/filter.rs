//! Filters of virtual services: who may begin connections, and how much of everything a client may do.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::family::Family;

/// The largest limit of a client: a rate with an interval of a nanosecond.
pub const LARGEST_LIMIT: u32 = 1_000_000_000;

/// The filter of a virtual service.
///
/// The longest prefix of both lists that an address lies in decides; a prefix of both denies. An address in none of
/// them is admitted, unless there is an allow list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Filter {
    /// Clients that may begin connections; none: all that are not denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Source>>,
    /// Clients that may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Source>,
    /// The limits of each client.
    #[serde(default)]
    pub limits: Limits,
}

impl Filter {
    /// Returns whether it refuses nobody anything.
    pub fn is_empty(&self) -> bool {
        let Self {
            allow,
            deny,
            limits,
        } = self;
        allow.is_none() && deny.is_empty() && limits.is_none()
    }

    /// The files of its lists, to be read.
    pub fn files(&mut self) -> impl Iterator<Item = &mut PrefixFile> {
        let sources = self.allow.iter_mut().flatten().chain(&mut self.deny);
        sources.filter_map(|source| match source {
            Source::File(file) => Some(file),
            Source::Prefix(_) => None,
        })
    }
}

/// The source of prefixes of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "Written")]
pub enum Source {
    /// One prefix: an address, or an address and a length.
    Prefix(Prefix),
    /// A file of prefixes.
    File(PrefixFile),
}

impl Source {
    /// Its prefixes.
    pub fn prefixes(&self) -> &[Prefix] {
        match self {
            Self::Prefix(prefix) => std::slice::from_ref(prefix),
            Self::File(file) => &file.prefixes,
        }
    }
}

/// A source as JSON has it.
#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Prefix(String),
    File(PrefixFile),
}

/// By hand: what is derived for an untagged enum hides unknown fields from [`crate::strict`].
impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(SourceReader)
    }
}

struct SourceReader;

impl<'de> Visitor<'de> for SourceReader {
    type Value = Source;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a prefix or a file")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Source, E> {
        text.parse().map(Source::Prefix).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        let map = MapAccessDeserializer::new(map);
        PrefixFile::deserialize(map).map(Source::File)
    }
}

impl From<Source> for Written {
    fn from(source: Source) -> Self {
        match source {
            Source::Prefix(prefix) => Self::Prefix(prefix.to_string()),
            Source::File(file) => Self::File(file),
        }
    }
}

/// A file of prefixes, which the daemon reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PrefixFile {
    /// Path of the file.
    #[cfg_attr(test, schema(value_type = String))]
    pub file: PathBuf,
    /// Its prefixes, once it was read.
    #[serde(skip)]
    pub prefixes: Arc<[Prefix]>,
}

impl PrefixFile {
    /// A file that was not read yet.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            prefixes: Arc::default(),
        }
    }
}

/// Limits for each client of a virtual service; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Limits {
    /// New connections a second, and as many at once.
    #[serde(default)]
    pub new_per_second: u32,
    /// Connections open at the same time.
    #[serde(default)]
    pub open: u32,
    /// Packets a second, and as many at once.
    #[serde(default)]
    pub packets_per_second: u32,
    /// Length of the prefix that is one client; none: 32 for IPv4, 64 for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
}

impl Limits {
    /// Returns whether nothing is limited.
    pub const fn is_none(&self) -> bool {
        self.new_per_second == 0 && self.open == 0 && self.packets_per_second == 0
    }

    /// Length of the prefix that is one client.
    pub fn prefix_of(&self, family: Family) -> u8 {
        self.prefix.unwrap_or(match family {
            Family::Ipv4 => 32,
            Family::Ipv6 => 64,
        })
    }
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The addresses that agree with this one in so many bits; `None`: it has fewer bits, or others are set.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let network = network(address, length)?;
        (network == address).then_some(Self { address, length })
    }

    /// Its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Its length in bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        match self.address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// The first address of those that agree with this one in so many bits.
fn network(address: IpAddr, length: u8) -> Option<IpAddr> {
    let length = u32::from(length);
    Some(match address {
        IpAddr::V4(v4) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
        _ => return None,
    })
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A text that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongPrefix {
    /// The text.
    pub text: String,
    /// Its fault.
    pub kind: WrongPrefixKind,
    /// The prefix that is probably meant.
    pub meant: Option<Prefix>,
}

/// The fault of a text that is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongPrefixKind {
    /// It has not the form of one.
    Form,
    /// There are more bits than those of an address, which has so many.
    TooLong(u8),
    /// The address has bits beyond the length.
    BitsBeyond,
}

impl fmt::Display for WrongPrefixKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("is no prefix; expected an address, or as in 192.0.2.0/24"),
            Self::TooLong(longest) => write!(f, "has a length over {longest}"),
            Self::BitsBeyond => f.write_str("has bits beyond its length"),
        }
    }
}

impl fmt::Display for WrongPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" {}", self.text, self.kind)?;
        match self.meant {
            Some(meant) => write!(f, "; is {meant} meant?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WrongPrefix {}

impl FromStr for Prefix {
    type Err = WrongPrefix;

    fn from_str(text: &str) -> Result<Self, WrongPrefix> {
        let wrong = |kind| WrongPrefix {
            text: text.to_owned(),
            kind,
            meant: None,
        };
        let form = || wrong(WrongPrefixKind::Form);
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let digits = |length: &str| length.bytes().all(|byte| byte.is_ascii_digit());
        let length = match length {
            None => longest,
            Some(length) if digits(length) => length.parse().map_err(|_| form())?,
            Some(_) => return Err(form()),
        };
        let Some(network) = network(address, length) else {
            return Err(wrong(WrongPrefixKind::TooLong(longest)));
        };
        Self::new(address, length).ok_or_else(|| WrongPrefix {
            meant: Self::new(network, length),
            ..wrong(WrongPrefixKind::BitsBeyond)
        })
    }
}

/// The size and the counters of a filter in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct FilterStatus {
    /// Prefixes of the service's family that are allowed; none: there is no allow list.
    pub allow: Option<usize>,
    /// Prefixes of the service's family that are denied.
    pub deny: usize,
    /// Packets of no known connection from clients that the lists do not admit.
    pub denied: u64,
    /// New connections over the limit per second.
    pub over_new_per_second: u64,
    /// New connections over the limit of open ones.
    pub over_open: u64,
    /// Packets over the limit per second.
    pub over_packets_per_second: u64,
    /// Clients with open connections that were forgotten for others: there are more than the table holds.
    pub forgotten: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_addresses_or_have_a_length() {
        for (text, same) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(
                text.parse::<Prefix>().map(|p| p.to_string()),
                Ok(same.into())
            );
        }
        for (text, says) in [
            ("192.0.2.7/24", "is 192.0.2.0/24 meant"),
            ("2001:db8::1/64", "is 2001:db8::/64 meant"),
            ("192.0.2.0/33", "a length over 32"),
            ("2001:db8::/129", "a length over 128"),
            ("192.0.2/24", "is no prefix"),
            ("192.0.2.0/", "is no prefix"),
            ("192.0.2.0/+24", "is no prefix"),
            ("192.0.2.0/999", "is no prefix"),
            ("host", "is no prefix"),
            ("", "is no prefix"),
        ] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_filter_in_json_says_prefixes_and_files() {
        let text = r#"{"allow":["192.0.2.0/24"],"deny":["192.0.2.7",{"file":"/etc/deny"}],"limits":{"open":3}}"#;
        let mut filter: Filter = serde_json::from_str(text).unwrap();
        assert_eq!(filter.limits.open, 3);
        assert_eq!(filter.files().count(), 1);
        assert!(!filter.is_empty() && Filter::default().is_empty());
        let again: Filter = serde_json::from_str(&serde_json::to_string(&filter).unwrap()).unwrap();
        assert_eq!(again, filter);
        for wrong in [
            r#"{"deny":["192.0.2.7/24"]}"#,
            r#"{"deny":[7]}"#,
            r#"{"block":[]}"#,
        ] {
            assert!(crate::strict::from_str::<Filter>(wrong).is_err(), "{wrong}");
        }
    }
}
