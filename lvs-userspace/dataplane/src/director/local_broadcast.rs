//! Addresses that stand for every host of a network of the director's own: no real server has one.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use lvs_api::protocol::{Refusal, RefusalKind};

/// Any port: nothing is sent.
const DISCARD: u16 = 9;

/// Refuses the broadcast address of a network that the director is in, as `ip_vs_new_dest` does, which asks
/// for the address' type in the kernel's table of local routes.
pub(super) fn refuse(address: IpAddr) -> Result<(), Refusal> {
    match address {
        IpAddr::V4(address) if is_broadcast(address) => Err(Refusal::new(
            RefusalKind::Invalid,
            "the real server's address is the broadcast address of a network",
        )),
        _ => Ok(()),
    }
}

/// The kernel lets no socket connect to a broadcast address that did not ask for it (`SO_BROADCAST`).
/// Where it cannot be asked the address counts as a host's.
fn is_broadcast(address: Ipv4Addr) -> bool {
    let connected = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((address, DISCARD)));
    connected.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::refuse;

    #[test]
    fn the_broadcast_address_of_a_network_is_no_host() {
        assert!(refuse("127.255.255.255".parse().unwrap()).is_err());
        assert!(refuse("127.0.0.1".parse().unwrap()).is_ok());
        assert!(refuse("192.0.2.1".parse().unwrap()).is_ok());
        assert!(refuse("2001:db8::1".parse().unwrap()).is_ok());
    }
}
