//! Addresses that stand for every host of a network of the director's own: no real server has one.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use lvs_api::protocol::{Refusal, RefusalKind};

use crate::kernel::disconnect;

/// Any port: nothing is sent.
const DISCARD: u16 = 9;

/// Asks the kernel, by one socket for many addresses.
#[derive(Default)]
pub(super) struct LocalBroadcasts(Option<UdpSocket>);

impl LocalBroadcasts {
    /// Refuses the broadcast address of a network that the director is in, as `ip_vs_new_dest` does, which asks
    /// for the address' type in the kernel's table of local routes.
    pub(super) fn refuse(&mut self, address: IpAddr) -> Result<(), Refusal> {
        match address {
            IpAddr::V4(address) if self.has(address) => Err(Refusal::new(
                RefusalKind::Invalid,
                "the real server's address is the broadcast address of a network",
            )),
            _ => Ok(()),
        }
    }

    /// True for a broadcast address: the kernel lets no socket connect to one that did not ask for it (`SO_BROADCAST`).
    /// It refuses a prohibited route in the same words, but even to one that asked (`ip_route_output_flow`, then
    /// `udp_connect`). An address counts as a host's if there can be no socket.
    fn has(&mut self, address: Ipv4Addr) -> bool {
        if self.0.is_none() {
            self.0 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok();
        }
        let Some(socket) = &self.0 else { return false };
        let Err(error) = socket.connect((address, DISCARD)) else {
            // It has a source from now on, which may lead nowhere but to this address.
            if disconnect(socket).is_err() {
                self.close();
            }
            return false;
        };
        let denied = error.kind() == ErrorKind::PermissionDenied;
        let broadcast = denied
            && socket.set_broadcast(true).is_ok()
            && socket.connect((address, DISCARD)).is_ok();
        if denied {
            self.close();
        }
        broadcast
    }

    /// Closes the socket until it is needed again.
    pub(super) fn close(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;

    use super::LocalBroadcasts;

    #[test]
    fn the_broadcast_address_of_a_network_is_no_host() {
        let mut broadcasts = LocalBroadcasts::default();
        let mut refuse = |address| broadcasts.refuse(address);
        assert!(refuse("127.255.255.255".parse().unwrap()).is_err());
        assert!(refuse("127.0.0.1".parse().unwrap()).is_ok());
        assert!(refuse("127.255.255.255".parse().unwrap()).is_err());
        assert!(refuse("192.0.2.1".parse().unwrap()).is_ok());
        assert!(refuse("2001:db8::1".parse().unwrap()).is_ok());
    }
    #[test]
    fn a_host_that_was_asked_for_before_changes_no_answer() {
        let mut networks = getifaddrs().unwrap().filter_map(|found| {
            let up = found.flags.contains(InterfaceFlags::IFF_UP);
            let address = found
                .broadcast
                .filter(|_| up && found.broadcast != found.address)?;
            Some(IpAddr::from(address.as_sockaddr_in()?.ip()))
        });
        let Some(broadcast) = networks.next() else {
            return;
        };
        let mut broadcasts = LocalBroadcasts::default();
        assert!(broadcasts.refuse(broadcast).is_err(), "{broadcast}");
        assert!(broadcasts.refuse("127.0.0.1".parse().unwrap()).is_ok());
        assert!(broadcasts.refuse(broadcast).is_err(), "{broadcast}");
    }
}
