//! A filter as the operator wrote it, in the memory behind its nodes: so it outlives the daemon.
//!
//! JSON of the filter, behind it the prefixes of its files, one file after the other: their number, and of each the
//! family, the length and the address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_api::filter::{Filter, Prefix};

/// The filter as bytes.
pub(super) fn render(filter: &Filter) -> Vec<u8> {
    let text = serde_json::to_vec(filter).unwrap_or_default();
    let mut bytes = Vec::new();
    put(&mut bytes, text.len());
    bytes.extend(text);
    for file in filter.clone().files() {
        put(&mut bytes, file.prefixes.len());
        for prefix in &*file.prefixes {
            match prefix.address() {
                IpAddr::V4(v4) => {
                    bytes.extend([4, prefix.length()]);
                    bytes.extend(v4.octets());
                }
                IpAddr::V6(v6) => {
                    bytes.extend([6, prefix.length()]);
                    bytes.extend(v6.octets());
                }
            }
        }
    }
    bytes
}

/// The filter from its bytes; `None` if no daemon writes such.
pub(super) fn parse(mut bytes: &[u8]) -> Option<Filter> {
    let length = split_number(&mut bytes)?;
    let mut filter: Filter = serde_json::from_slice(bytes.split_off(..length)?).ok()?;
    for file in filter.files() {
        let count = split_number(&mut bytes)?;
        file.prefixes = (0..count)
            .map(|_| split_prefix(&mut bytes))
            .collect::<Option<_>>()?;
    }
    Some(filter)
}

fn put(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn split_number(bytes: &mut &[u8]) -> Option<usize> {
    let number = bytes.split_off(..4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(number)).ok()
}

fn split_prefix(bytes: &mut &[u8]) -> Option<Prefix> {
    let [family, length] = bytes.split_off(..2)?.try_into().ok()?;
    let address: IpAddr = if family == 4 {
        Ipv4Addr::from(<[u8; 4]>::try_from(bytes.split_off(..4)?).ok()?).into()
    } else {
        Ipv6Addr::from(<[u8; 16]>::try_from(bytes.split_off(..16)?).ok()?).into()
    };
    Prefix::new(address, length)
}

#[cfg(test)]
mod tests {
    use lvs_api::filter::{Limits, PrefixFile, Source};

    use super::*;

    #[test]
    fn a_filter_is_read_back_as_it_was() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let mut file = PrefixFile::new("/etc/lvs/deny".into());
        file.prefixes = ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0"]
            .map(prefix)
            .into();
        let filter = Filter {
            allow: Some(vec![Source::Prefix(prefix("203.0.113.0/24"))]),
            deny: vec![
                Source::File(file),
                Source::Prefix(prefix("::1")),
                Source::File(PrefixFile::new("empty".into())),
            ],
            limits: Limits {
                open: 7,
                prefix: Some(24),
                ..Limits::default()
            },
        };
        let bytes = render(&filter);
        assert_eq!(parse(&bytes), Some(filter));
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), None);
        }
    }
}
