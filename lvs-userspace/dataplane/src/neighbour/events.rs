//! The kernel's announcements of changes in its network tables.
//!
//! rtnetlink's own multicast connection does not fit: it drops the messages that it cannot decode, and those
//! of next-hop objects (`RTM_NEWNEXTHOP`) and of settings (`RTM_NEWNETCONF`: `forwarding`, `rp_filter`) are among them,
//! by which every route may change.

use futures_util::{FutureExt, StreamExt};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::proto::{NetlinkCodec, NetlinkFramed};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket as _, SocketAddr, TokioSocket};

use crate::netlink::{Error, Message, enlarge};

/// Messages in one [`Burst`] at most.
const BURST: usize = 1024;
const GROUPS: [MulticastGroup; 11] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Nexthop,
    MulticastGroup::Ipv4Netconf,
    MulticastGroup::Ipv6Netconf,
];

/// A socket for the kernel's announcements.
pub(super) struct Events(NetlinkFramed<Message, TokioSocket, NetlinkCodec>);

/// Announcements that were received at once.
pub(super) enum Burst {
    Messages(Vec<Message>),
    /// The kernel lost messages for want of room (`ENOBUFS`). Nothing before this counts.
    Overrun,
}

impl Events {
    /// Subscribes, in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, Error> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(Error::Open)?;
        enlarge(&socket);
        let bound = socket.socket_mut().bind(&SocketAddr::new(0, 0));
        bound.map_err(Error::Open)?;
        for group in GROUPS {
            let joined = socket.socket_mut().add_membership(group as u32);
            joined.map_err(Error::Open)?;
        }
        Ok(Self(NetlinkFramed::new(socket)))
    }

    /// Receives the next messages, as many as are there.
    pub(super) async fn next(&mut self) -> Result<Burst, Error> {
        let mut messages = Vec::new();
        let mut next = self.0.next().await;
        loop {
            match next.ok_or(Error::Closed)?.0.payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message),
                NetlinkPayload::Overrun(_) => {
                    self.discard()?;
                    return Ok(Burst::Overrun);
                }
                _ => {}
            }
            if messages.len() == BURST {
                return Ok(Burst::Messages(messages));
            }
            match self.0.next().now_or_never() {
                Some(message) => next = message,
                None => return Ok(Burst::Messages(messages)),
            }
        }
    }

    /// Discards all queued messages: after an overrun the kernel queues nothing until they are read, and
    /// they are older than what was lost.
    fn discard(&mut self) -> Result<(), Error> {
        while let Some(message) = tokio::task::unconstrained(self.0.next()).now_or_never() {
            message.ok_or(Error::Closed)?;
        }
        Ok(())
    }
}
