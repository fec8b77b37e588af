//! Encapsulations of tunnels in the form the maps hold them.

use lvs_api::model::{Checksum, Tunnel};
use lvs_common::abi::Encapsulation;

/// The encapsulation of a tunnel, and its destination port; 0: it has none.
pub(crate) const fn encapsulation(tunnel: Tunnel) -> (Encapsulation, u16) {
    let (kind, checksum, port) = match tunnel {
        Tunnel::Ipip => return (Encapsulation::IPIP, 0),
        Tunnel::Gue { port, checksum } => (Encapsulation::GUE, checksum, port),
        Tunnel::Gre { checksum } => (Encapsulation::GRE, checksum, 0),
    };
    let encapsulation = match checksum {
        Checksum::None => kind,
        Checksum::Full => kind.with_checksum(),
        Checksum::Remote => kind.with_remote_checksum(),
    };
    (encapsulation, port)
}

/// The tunnel of an encapsulation and a destination port.
pub(crate) fn tunnel(encapsulation: Encapsulation, port: u16) -> Tunnel {
    let checksum = if encapsulation.is_remote() {
        Checksum::Remote
    } else if encapsulation.has_checksum() {
        Checksum::Full
    } else {
        Checksum::None
    };
    match encapsulation.kind() {
        Encapsulation::GUE => Tunnel::Gue { port, checksum },
        Encapsulation::GRE => Tunnel::Gre { checksum },
        _ => Tunnel::Ipip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_read_back() {
        for checksum in [Checksum::None, Checksum::Full, Checksum::Remote] {
            for wanted in [
                Tunnel::Ipip,
                Tunnel::Gue {
                    port: 6080,
                    checksum,
                },
                Tunnel::Gre { checksum },
            ] {
                let (encapsulation, port) = encapsulation(wanted);
                assert_eq!(tunnel(encapsulation, port), wanted);
            }
        }
    }
}
