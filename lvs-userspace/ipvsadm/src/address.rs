//! Addresses and netmasks as ipvsadm reads and writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use lvs_api::model::Protocol;

use super::number::number;
use super::ports::ServiceNames;

/// An address, and the port if one was given.
///
/// `host` is an IPv4 address, a bare IPv6 address (then there is no port), `[IPv6]:port`, or a name
/// with an IPv4 address. Unlike ipvsadm, which drops the port without a word, this refuses brackets
/// around anything but IPv6.
pub(super) fn address(
    text: &str,
    protocol: Protocol,
    names: &ServiceNames,
) -> Option<(IpAddr, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return Some((
            host.parse::<Ipv6Addr>().ok()?.into(),
            Some(port_number(port, protocol, names)?),
        ));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((address.into(), None));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((
            ipv4(host)?.into(),
            Some(port_number(port, protocol, names)?),
        )),
        // A number alone is more likely a port whose address was forgotten than an address.
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        None => Some((ipv4(text)?.into(), None)),
    }
}

fn ipv4(host: &str) -> Option<Ipv4Addr> {
    if host.is_empty() {
        return None;
    }
    (host, 0)
        .to_socket_addrs()
        .ok()?
        .find_map(|found| match found.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
}

fn port_number(text: &str, protocol: Protocol, names: &ServiceNames) -> Option<u16> {
    match number(text, 0..=u32::from(u16::MAX)) {
        Some(port) => u16::try_from(port).ok(),
        None => names.port(text, protocol),
    }
}

/// The text of an address as the C library writes it. With an IPv4 part, Rust writes only IPv4-mapped addresses,
/// C also the deprecated IPv4-compatible ones.
pub(super) fn text(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) if is_ipv4_compatible(v6) => {
            let [.., a, b, c, d] = v6.octets();
            format!("::{}", Ipv4Addr::new(a, b, c, d))
        }
        other => other.to_string(),
    }
}

fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    segments.iter().take(6).all(|segment| *segment == 0) && segments.get(6) != Some(&0)
}

/// An IPv4 netmask in any way that the C library reads one (`inet_aton`): one to four numbers, decimal, octal (`0`) or
/// hexadecimal (`0x`), of which the last one stands for all bytes that are left.
pub(super) fn read_netmask(text: &str) -> Option<u32> {
    let mut parts = text.split('.').map(c_number).collect::<Option<Vec<_>>>()?;
    let last = parts.pop()?;
    let mut mask = 0;
    for (place, &part) in parts.iter().enumerate() {
        let byte = u8::try_from(part).ok()?;
        mask |= u32::from(byte).checked_shl(24_u32.checked_sub(u32::try_from(place).ok()? * 8)?)?;
    }
    let left = 32_u32.checked_sub(u32::try_from(parts.len()).ok()? * 8)?;
    let fits = left > 0 && u64::from(last) < 1 << left;
    fits.then_some(mask | last)
}

/// A number as C writes it, without a sign.
fn c_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, radix).ok())?
}

/// The prefix length that an IPv4 netmask stands for.
///
/// IPVS accepts any 32 bits. Masks with holes are refused here: they have no use, and a missing dot (`24`) makes
/// one.
pub fn prefix(mask: &str) -> Option<u8> {
    prefix_length(mask.parse::<Ipv4Addr>().ok()?.to_bits())
}

/// The prefix length that the bits of a netmask stand for.
pub(super) fn prefix_length(mask: u32) -> Option<u8> {
    let prefix = mask.leading_ones();
    (mask.checked_shl(prefix).unwrap_or(0) == 0).then(|| u8::try_from(prefix).ok())?
}

/// The IPv4 netmask of a prefix length.
pub(super) fn netmask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32u32.saturating_sub(prefix.into());
    Ipv4Addr::from_bits(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_ipvsadm_reads_them() {
        let names = ServiceNames::from_text("http 80/tcp www\ndomain 53/udp\n");
        for (text, expected) in [
            ("1.2.3.4", Some(("1.2.3.4", None))),
            ("1.2.3.4:0", Some(("1.2.3.4", Some(0)))),
            ("1.2.3.4:80", Some(("1.2.3.4", Some(80)))),
            ("1.2.3.4:+80", Some(("1.2.3.4", Some(80)))),
            ("1.2.3.4:http", Some(("1.2.3.4", Some(80)))),
            ("1.2.3.4:www", Some(("1.2.3.4", Some(80)))),
            ("localhost:80", Some(("127.0.0.1", Some(80)))),
            ("0:80", Some(("0.0.0.0", Some(80)))),
            ("123:http", Some(("0.0.0.123", Some(80)))),
            ("1.2.3:80", Some(("1.2.0.3", Some(80)))),
            ("[::1]:80", Some(("::1", Some(80)))),
            ("[::1]:http", Some(("::1", Some(80)))),
            ("::1", Some(("::1", None))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("::1:80", Some(("::1:80", None))),
            ("", None),
            (":80", None),
            ("123", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:65536", None),
            ("1.2.3.4:-1", None),
            ("1.2.3.4:0x50", None),
            ("1.2.3.4:80x", None),
            ("1.2.3.4:domain", None),
            ("1.2.3.4:80:90", None),
            ("256.1.1.1:80", None),
            ("*:80", None),
            ("[::1]", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[::1]:", None),
            ("[1.2.3.4]:80", None),
            ("fe80::1%lo", None),
        ] {
            let expected = expected.map(|(host, port)| (host.parse().expect("an address"), port));
            assert_eq!(address(text, Protocol::Tcp, &names), expected, "{text:?}");
        }
    }

    #[test]
    fn netmasks_and_prefix_lengths_are_the_same() {
        for length in 0..=32 {
            assert_eq!(prefix(&netmask(length).to_string()), Some(length));
        }
        for mask in [
            "255.0.255.0",
            "0.0.0.24",
            "24",
            "255.255.255",
            "foo",
            "",
            "255.255.255.0.1",
        ] {
            assert_eq!(prefix(mask), None, "{mask:?}");
        }
    }

    #[test]
    fn netmasks_are_read_as_the_c_library_reads_them() {
        for (text, expected) in [
            ("255.255.255.0", Some(0xffff_ff00)),
            ("0xffffff00", Some(0xffff_ff00)),
            ("4294967040", Some(0xffff_ff00)),
            ("0377.0xff.255.0", Some(0xffff_ff00)),
            ("255.16776960", Some(0xffff_ff00)),
            ("255.255.65280", Some(0xffff_ff00)),
            ("255.255.255", Some(0xffff_00ff)),
            ("24", Some(24)),
            ("0", Some(0)),
            ("4294967296", None),
            ("255.16777216", None),
            ("256.0.0.0", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("08", None),
            ("0x", None),
            ("+24", None),
            ("-1", None),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(read_netmask(text), expected, "{text:?}");
        }
    }

    #[test]
    fn ipv6_is_written_as_the_c_library_does() {
        for (written, expected) in [
            ("::1", "::1"),
            ("::", "::"),
            ("::1:80", "::0.1.0.128"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ] {
            assert_eq!(text(written.parse().expect("an address")), expected);
        }
    }
}
