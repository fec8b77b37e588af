//! Where in the receive path the kernel runs the program on an interface: its own word for it.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

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
        let answer = ask(interface);
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

/// The kernel's description of an interface; `None` if it is something else.
fn ask(interface: u32) -> io::Result<Option<LinkMessage>> {
    let mut link = LinkMessage::default();
    link.header.index = interface;
    let mut question = NetlinkMessage::from(RouteNetlinkMessage::GetLink(link));
    question.header.flags = NLM_F_REQUEST;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    Ok(match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Some(link),
        _ => None,
    })
}
