//! The mode in which the kernel runs the program on an interface.

use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::interfaces;

/// The place of the program in the receive path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's generic code, after a packet buffer was allocated.
    Generic,
    /// On the card itself.
    Offloaded,
    /// It does not run, or the kernel did not answer.
    Unknown,
}

impl Mode {
    /// The mode on an interface, by the kernel.
    pub(super) fn of(interface: u32) -> Self {
        let answer = interfaces::get(interface);
        let attributes = answer.iter().flat_map(|link| &link.attributes);
        let xdp = attributes.filter_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => Some(xdp),
            _ => None,
        });
        let attached = xdp.flatten().find_map(|xdp| match xdp {
            LinkXdp::Attached(attached) => Some(*attached),
            _ => None,
        });
        match attached {
            Some(XdpAttached::Driver) => Self::Native,
            Some(XdpAttached::SocketBuffer) => Self::Generic,
            Some(XdpAttached::Hardware) => Self::Offloaded,
            _ => Self::Unknown,
        }
    }
}
