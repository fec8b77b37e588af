//! Addresses of peers on the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// TCP port at which directors listen by default.
pub const DEFAULT_PORT: u16 = 8849;

/// A peer as `HOST`, `HOST:PORT`, an address, or an address with a port (`[2001:db8::1]:8849`); the result
/// has a port.
///
/// # Errors
///
/// The reason, for people.
pub fn peer(word: &str) -> Result<String, String> {
    if let Ok(address) = listen(word) {
        return Ok(address.to_string());
    }
    let (host, port) = word
        .split_once(':')
        .map_or((word, None), |(host, port)| (host, Some(port)));
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(named) {
        return Err("it is HOST or HOST:PORT".to_owned());
    }
    match port.map(str::parse::<u16>) {
        None => Ok(format!("{host}:{DEFAULT_PORT}")),
        Some(Ok(port)) if port != 0 => Ok(format!("{host}:{port}")),
        Some(_) => Err("the port is a number from 1 to 65535".to_owned()),
    }
}

/// The address to listen at, with a port or without.
///
/// # Errors
///
/// The reason, for people.
pub fn listen(word: &str) -> Result<SocketAddr, String> {
    let bare = word
        .strip_prefix('[')
        .and_then(|word| word.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(word).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DEFAULT_PORT));
    }
    word.parse()
        .map_err(|_| "it is an address, or ADDRESS:PORT".to_owned())
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
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(ip, address.port()))?;
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
