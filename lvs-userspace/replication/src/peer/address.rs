//! Addresses of peers on the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

/// TCP port at which directors listen by default.
pub const DEFAULT_PORT: u16 = 8849;

/// A peer as `HOST`, `HOST:PORT`, an address, or an address with a port (`[2001:db8::1]:8849`); the result
/// has a port. A link-local address names its interface (`fe80::1%eth0`), which need not be there yet.
///
/// # Errors
///
/// The reason, for people.
pub fn peer(word: &str) -> Result<String, String> {
    if let Some(zoned) = Zoned::parse(word) {
        let Zoned {
            address,
            interface,
            port,
        } = zoned?;
        return Ok(format!("[{address}%{interface}]:{port}"));
    }
    if let Ok(address) = plain(word) {
        return with_interface(address).map(|address| address.to_string());
    }
    let (host, port) = word
        .split_once(':')
        .map_or((word, None), |(host, port)| (host, Some(port)));
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(named) {
        return Err("it is HOST or HOST:PORT".to_owned());
    }
    match port.map(port_number) {
        None => Ok(format!("{host}:{DEFAULT_PORT}")),
        Some(port) => Ok(format!("{host}:{}", port?)),
    }
}

/// The address to listen at, with a port or without. The interface of a link-local one (`fe80::1%eth0`) has to be there.
///
/// # Errors
///
/// The reason, for people.
pub fn listen(word: &str) -> Result<SocketAddr, String> {
    let Some(zoned) = Zoned::parse(word) else {
        return with_interface(plain(word)?);
    };
    let zoned = zoned?;
    let host = format!("{}%{}", zoned.address, zoned.interface);
    let found = (host.as_str(), zoned.port).to_socket_addrs();
    let found = found.ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("there is no interface {}", zoned.interface))
}

/// The host and the port of a peer's address that is no plain address, for the resolver.
pub(super) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host), port.parse().ok()?))
}

/// An address that stands for itself, with a port or without.
fn plain(word: &str) -> Result<SocketAddr, String> {
    let bare = word
        .strip_prefix('[')
        .and_then(|word| word.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(word).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DEFAULT_PORT));
    }
    word.parse()
        .map_err(|_| "it is an address, or ADDRESS:PORT".to_owned())
}

/// The same address, unless it means another host on each interface.
fn with_interface(address: SocketAddr) -> Result<SocketAddr, String> {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            Err(format!(
                "{0} is link-local: name its interface, too, as in {0}%eth0",
                v6.ip()
            ))
        }
        _ => Ok(address),
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err("the port is a number from 1 to 65535".to_owned()),
    }
}

/// An address with its interface (RFC 4007, section 11: its zone).
struct Zoned<'a> {
    address: Ipv6Addr,
    interface: &'a str,
    port: u16,
}

impl<'a> Zoned<'a> {
    /// None: the word has no interface.
    fn parse(word: &'a str) -> Option<Result<Self, String>> {
        let (address, rest) = word.split_once('%')?;
        let parts = match address.strip_prefix('[') {
            None => Some((address, rest, None)),
            Some(address) => rest.split_once(']').map(|(interface, port)| {
                let port = (!port.is_empty()).then_some(port);
                (address, interface, port)
            }),
        };
        let parsed = || {
            let (address, interface, port) = parts?;
            let port = match port {
                None => Ok(DEFAULT_PORT),
                Some(port) => port_number(port.strip_prefix(':')?),
            };
            let usable =
                |c: char| c.is_ascii_graphic() && !matches!(c, ':' | '/' | '[' | ']' | '%');
            let address = address.parse().ok()?;
            (!interface.is_empty() && interface.chars().all(usable))
                .then_some((address, interface, port))
        };
        let Some((address, interface, port)) = parsed() else {
            return Some(Err(
                "it is ADDRESS%INTERFACE or [ADDRESS%INTERFACE]:PORT".to_owned()
            ));
        };
        Some(port.map(|port| Self {
            address,
            interface,
            port,
        }))
    }
}

/// True if packets to an address stay on this machine and arrive at the socket that listens here.
pub(super) fn is_own(address: SocketAddr, listening: SocketAddr) -> bool {
    let (ip, bound) = (address.ip().to_canonical(), listening.ip().to_canonical());
    if address.port() != listening.port() {
        return false;
    }
    if !bound.is_unspecified() {
        return ip == bound;
    }
    // The source that the kernel would choose is the destination itself; nothing is sent.
    let (any, destination): (IpAddr, _) = match ip {
        IpAddr::V4(_) => (
            Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::new(ip, address.port()),
        ),
        // With its interface, if it is link-local.
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), address),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(destination)?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_left_out() {
        for (word, meant) in [
            ("10.0.0.2", "10.0.0.2:8849"),
            ("10.0.0.2:99", "10.0.0.2:99"),
            ("2001:db8::1", "[2001:db8::1]:8849"),
            ("[2001:db8::1]", "[2001:db8::1]:8849"),
            ("[2001:db8::1]:99", "[2001:db8::1]:99"),
            ("lvs2", "lvs2:8849"),
            ("lvs2.example.com:99", "lvs2.example.com:99"),
        ] {
            assert_eq!(peer(word).as_deref(), Ok(meant), "{word}");
        }
        for wrong in [
            "",
            ":99",
            "lvs2:",
            "lvs2:0",
            "lvs2:65536",
            "lvs 2",
            "a:b:c",
            "[::1",
        ] {
            assert!(peer(wrong).is_err(), "{wrong}");
        }
        assert!(listen("lvs2").is_err());
    }

    #[test]
    fn a_link_local_address_names_its_interface() {
        for (word, meant) in [
            ("fe80::2%eth0", "[fe80::2%eth0]:8849"),
            ("[fe80::2%eth0]", "[fe80::2%eth0]:8849"),
            ("[fe80::2%eth0.7]:99", "[fe80::2%eth0.7]:99"),
        ] {
            assert_eq!(peer(word).as_deref(), Ok(meant), "{word}");
        }
        assert_eq!(split("[fe80::2%eth0]:99"), Some(("fe80::2%eth0", 99)));
        assert_eq!(split("lvs2:99"), Some(("lvs2", 99)));
        for wrong in [
            "fe80::2%",
            "fe80::2%eth0:99",
            "[fe80::2%eth0",
            "[fe80::2%eth0]99",
            "[fe80::2%eth0]:0",
            "lvs2%eth0",
            "fe80::2%a%b",
        ] {
            assert!(peer(wrong).is_err(), "{wrong}");
        }
        for (word, part) in [
            ("fe80::2", "fe80::2%eth0"),
            ("[fe80::2]:99", "fe80::2%eth0"),
        ] {
            assert!(peer(word).unwrap_err().contains(part), "{word}");
            assert!(listen(word).unwrap_err().contains(part), "{word}");
        }
        let here = listen("[fe80::2%lo]:99").unwrap();
        assert!(matches!(here, SocketAddr::V6(v6) if v6.scope_id() == 1 && v6.port() == 99));
        assert!(listen("fe80::2%nowhere0").unwrap_err().contains("nowhere0"));
    }

    #[test]
    fn an_address_of_this_machine_is_own_at_the_port_that_is_listened_at() {
        let own = |address: &str, listening: &str| {
            is_own(address.parse().unwrap(), listening.parse().unwrap())
        };
        assert!(own("127.0.0.1:8849", "0.0.0.0:8849"));
        assert!(own("127.0.0.1:8849", "[::]:8849"));
        assert!(own("127.0.0.1:8849", "127.0.0.1:8849"));
        assert!(!own("127.0.0.1:8850", "[::]:8849"));
        assert!(!own("127.0.0.1:8849", "127.0.0.2:8849"));
        assert!(!own("192.0.2.1:8849", "[::]:8849"));
    }
}
