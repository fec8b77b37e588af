//! Netlink sockets: one for events, one for questions.

use std::io;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::{NetlinkCodec, NetlinkFramed};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::time::timeout;

use super::Error;

/// Room for what the kernel sends while we are busy: some twenty thousand messages.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The kernel answers while it takes the question, so an answer that is late is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages taken from the event socket at once.
const BURST: usize = 1024;
/// `linux/rtnetlink.h`: RTNLGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR,
/// IPV6_ROUTE, IPV6_RULE, NEXTHOP.
const GROUPS: [u32; 9] = [1, 3, 5, 7, 8, 9, 11, 19, 32];

/// A message from the kernel, of a kind the library knows or not.
#[derive(Debug)]
pub enum Message {
    /// A message whose kind the library knows.
    Known(Box<RouteNetlinkMessage>),
    /// A message of another kind.
    Unknown,
}

impl NetlinkDeserializable for Message {
    type Error = std::convert::Infallible;

    /// Never fails: the library drops what it cannot read, and a question whose answer is dropped
    /// would wait for ever.
    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(RouteNetlinkMessage::deserialize(header, payload)
            .map_or(Self::Unknown, |message| Self::Known(Box::new(message))))
    }
}

type Framed = NetlinkFramed<Message, TokioSocket, NetlinkCodec>;

fn open() -> Result<TokioSocket, Error> {
    let socket = TokioSocket::new(NETLINK_ROUTE).map_err(Error::Open)?;
    // Without the privilege the limit is net.core.rmem_max, and events are lost a little earlier.
    if setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.socket_ref().set_rx_buf_sz(i32::MAX).ok();
    }
    Ok(socket)
}

/// What the kernel announces.
pub(super) struct Events(Framed);

/// What came from the event socket.
pub(super) enum Burst {
    Messages(Vec<Message>),
    /// The kernel had more to say than there was room for. Nothing before this counts.
    Overrun,
}

impl Events {
    /// Subscribes, in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, Error> {
        let mut socket = open()?;
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, 0))
            .map_err(Error::Open)?;
        for group in GROUPS {
            socket
                .socket_ref()
                .add_membership(group)
                .map_err(Error::Open)?;
        }
        Ok(Self(Framed::new(socket)))
    }

    /// The next messages, as many as are there.
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

    /// After an overrun the kernel queues nothing until everything queued is read, and that is older
    /// than what was lost.
    fn discard(&mut self) -> Result<(), Error> {
        while let Some(message) = tokio::task::unconstrained(self.0.next()).now_or_never() {
            message.ok_or(Error::Closed)?;
        }
        Ok(())
    }
}

/// Questions to the kernel.
pub struct Questions {
    framed: Framed,
    sequence: u32,
}

/// The kernel's answer to one question: a message, or nothing but success.
pub(crate) type Answer = io::Result<Option<Message>>;

impl Questions {
    /// Opens, in the network namespace of the calling thread.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            framed: Framed::new(open()?),
            sequence: 0,
        })
    }

    /// Everything of a kind.
    pub async fn dump(&mut self, question: RouteNetlinkMessage) -> Result<Vec<Message>, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut buffer = Vec::new();
        push(
            &mut buffer,
            question,
            NLM_F_REQUEST | NLM_F_DUMP,
            self.sequence,
        );
        self.send(&buffer).await?;
        let (mut messages, mut whole) = (Vec::new(), true);
        loop {
            let (header, payload) = self.receive().await?;
            if header.sequence_number != self.sequence {
                continue;
            }
            whole &= header.flags & NLM_F_DUMP_INTR == 0;
            match payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message),
                NetlinkPayload::Done(_) if whole => return Ok(messages),
                NetlinkPayload::Done(_) => return Err(Error::Interrupted),
                NetlinkPayload::Error(error) => return Err(Error::Refused(error.to_io())),
                _ => {}
            }
        }
    }

    /// Answers to all the questions, in their order. Each must be one that the kernel answers with
    /// one message (or, with `NLM_F_ACK` in the flags, with success).
    pub async fn ask(
        &mut self,
        questions: Vec<RouteNetlinkMessage>,
        flags: u16,
    ) -> Result<Vec<Answer>, Error> {
        let first = self.sequence.wrapping_add(1);
        let mut answers: Vec<Option<Answer>> = questions.iter().map(|_| None).collect();
        let mut buffer = Vec::new();
        for question in questions {
            self.sequence = self.sequence.wrapping_add(1);
            push(&mut buffer, question, NLM_F_REQUEST | flags, self.sequence);
        }
        self.send(&buffer).await?;
        let mut missing = answers.len();
        while missing > 0 {
            let (header, payload) = self.receive().await?;
            let place = header.sequence_number.wrapping_sub(first) as usize;
            let Some(answer @ None) = answers.get_mut(place) else {
                continue;
            };
            *answer = Some(match payload {
                NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
                NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
                _ => Ok(None),
            });
            missing -= 1;
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn send(&mut self, buffer: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddr::new(0, 0);
        self.framed
            .get_ref()
            .send_to(buffer, &kernel)
            .await
            .map_err(Error::Send)?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<(NetlinkHeader, NetlinkPayload<Message>), Error> {
        let next = timeout(PATIENCE, self.framed.next())
            .await
            .map_err(|_| Error::Late)?;
        let (header, payload) = next.ok_or(Error::Closed)?.0.into_parts();
        match payload {
            NetlinkPayload::Overrun(_) => Err(Error::Overrun),
            payload => Ok((header, payload)),
        }
    }
}

fn push(buffer: &mut Vec<u8>, question: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut message = NetlinkMessage::from(question);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = buffer.len();
    buffer.resize(start + message.buffer_len(), 0);
    message.serialize(&mut buffer[start..]);
}
