//! Where in the receive path the kernel runs the program on an interface: its own word for it.

use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::links;

/// Where in the receive path the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's generic code, after a packet buffer was allocated.
    Generic,
    /// On the card itself.
    Offloaded,
    /// Not at all, or the kernel did not tell.
    Unknown,
}

impl Mode {
    /// As the status shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
            Self::Unknown => "unknown",
        }
    }

    /// Asks the kernel about an interface.
    pub(super) fn of(interface: u32) -> Self {
        let answer = links::one(interface);
        let attributes = answer.iter().flatten().flat_map(|link| &link.attributes);
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
