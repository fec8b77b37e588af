//! Requests to the kernel's network tables (rtnetlink(7)), and why they fail.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket as _, TokioSocket};
use tokio::time::timeout;
use tracing::debug;

/// Receive buffer in bytes: some twenty thousand messages.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The kernel answers while it receives the request, so an answer that is late is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for what the kernel sends at once, in bytes: 32 KiB of a dump, or one message.
const DATAGRAM: usize = 64 << 10;
/// Messages begin at multiples of it.
const ALIGNMENT: usize = 4;
/// Attempts at a dump of a table that changes while it is read.
const ATTEMPTS: u32 = 5;

/// A failure of a netlink socket, or of everything that was asked through it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// A dump failed.
    #[error("the kernel does not tell its network tables: {0}")]
    Refused(#[source] io::Error),
    /// The tables changed during a dump.
    #[error("the kernel's network tables changed while they were read")]
    Interrupted,
    /// No answer came, or it did not fit the socket.
    #[error("the kernel does not answer a netlink request")]
    Late,
    /// A socket for announcements ended.
    #[error("the netlink socket is closed")]
    Closed,
}

/// The kernel's answer to one request: a message; none if it only acknowledges the request, or if the
/// message is of a kind that the library cannot decode.
pub type Answer = io::Result<Option<RouteNetlinkMessage>>;

/// A message from the kernel; none: of a kind that the library cannot decode.
#[derive(Debug)]
pub(crate) struct Message(pub(crate) Option<RouteNetlinkMessage>);

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    /// Never fails: a message that the library cannot decode is an answer or an announcement all the same.
    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(RouteNetlinkMessage::deserialize(header, payload).ok()))
    }
}

/// A netlink socket for requests.
///
/// Not rtnetlink's own connection: that receives each answer by two system calls and hands it to another task, which
/// is most of the work where there are thousands of addresses to look up.
pub struct Requests {
    socket: TokioSocket,
    /// Number of the next request.
    next: u32,
    /// Requests as they are sent.
    sent: Vec<u8>,
    /// Messages as they came.
    received: Vec<u8>,
}

impl Requests {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open() -> Result<Self, Error> {
        let socket = TokioSocket::new(NETLINK_ROUTE).map_err(Error::Open)?;
        enlarge(&socket);
        Ok(Self {
            socket,
            next: 1,
            sent: Vec::new(),
            received: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Requests all entries of a table.
    pub async fn dump(
        &mut self,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        for _ in 1..ATTEMPTS {
            match self.dump_once(request.clone()).await {
                Err(Error::Interrupted) => {}
                outcome => return outcome,
            }
        }
        self.dump_once(request).await
    }

    async fn dump_once(
        &mut self,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        let mut messages = Vec::new();
        let dump = self.dump_each(request, |message| messages.push(message));
        dump.await.map(|()| messages)
    }

    /// Requests all entries of a table that may be large, and hands them on one by one, also those of a dump that is
    /// [`Error::Interrupted`].
    pub async fn dump_each(
        &mut self,
        request: RouteNetlinkMessage,
        mut take: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Error> {
        let number = self.send(vec![request], NLM_F_DUMP).await?;
        let mut whole = true;
        let mut end = None;
        while end.is_none() {
            let received = timeout(ANSWER_TIMEOUT, self.receive()).await;
            for NetlinkMessage {
                header, payload, ..
            } in received.map_err(|_| Error::Late)??
            {
                if header.sequence_number != number {
                    continue;
                }
                whole &= header.flags & NLM_F_DUMP_INTR == 0;
                match payload {
                    NetlinkPayload::InnerMessage(Message(Some(message))) => take(message),
                    NetlinkPayload::Done(_) if whole => end = Some(Ok(())),
                    NetlinkPayload::Done(_) => end = Some(Err(Error::Interrupted)),
                    NetlinkPayload::Error(error) => end = Some(Err(Error::Refused(error.to_io()))),
                    _ => {}
                }
            }
        }
        end.unwrap_or(Ok(()))
    }

    /// Sends requests that change something, or that have at most one message as answer. Returns the answers in their
    /// order.
    pub async fn send_all(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
        flags: u16,
    ) -> Result<Vec<Answer>, Error> {
        self.exchange(requests, flags | NLM_F_ACK).await
    }

    /// Sends requests that have one message as answer, or an error. Returns the answers in their order.
    pub async fn get_all(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
    ) -> Result<Vec<Answer>, Error> {
        self.exchange(requests, 0).await
    }

    async fn exchange(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
        flags: u16,
    ) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::new();
        answers.resize_with(requests.len(), || Ok(None));
        if !requests.is_empty() {
            let first = self.send(requests, flags).await?;
            let received = self.receive_answers(first, flags & NLM_F_ACK != 0, &mut answers);
            let received = timeout(ANSWER_TIMEOUT, received).await;
            received.map_err(|_| Error::Late)??;
        }
        Ok(answers)
    }

    /// Receives the answers to the requests from number `first` on. An acknowledgement ends an answer, if there is one.
    async fn receive_answers(
        &mut self,
        first: u32,
        acknowledged: bool,
        answers: &mut [Answer],
    ) -> Result<(), Error> {
        let mut left = answers.len();
        while left > 0 {
            for NetlinkMessage {
                header, payload, ..
            } in self.receive().await?
            {
                // What is older was asked by someone who did not wait for it.
                let place = header.sequence_number.wrapping_sub(first) as usize;
                let Some(answer) = answers.get_mut(place) else {
                    continue;
                };
                match payload {
                    NetlinkPayload::InnerMessage(Message(message)) => {
                        *answer = Ok(message);
                        left -= usize::from(!acknowledged);
                    }
                    NetlinkPayload::Error(error) => {
                        if error.code.is_some() {
                            *answer = Err(error.to_io());
                        }
                        left -= 1;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Requests one interface, by its name or index.
    pub async fn interface(&mut self, link: LinkMessage) -> io::Result<LinkMessage> {
        let request = vec![RouteNetlinkMessage::GetLink(link)];
        let answers = self.send_all(request, 0).await;
        for answer in answers.map_err(io::Error::other)? {
            if let Some(RouteNetlinkMessage::NewLink(link)) = answer? {
                return Ok(link);
            }
        }
        Err(io::Error::other("the kernel does not tell of an interface"))
    }

    /// Requests a change.
    pub async fn change(&mut self, change: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let answers = self.send_all(vec![change], flags).await;
        for answer in answers.map_err(io::Error::other)? {
            answer?;
        }
        Ok(())
    }

    /// Sends requests at once. Returns the number of the first one; the others follow it.
    async fn send(&mut self, requests: Vec<RouteNetlinkMessage>, flags: u16) -> Result<u32, Error> {
        let first = self.next;
        self.sent.clear();
        for request in requests {
            let mut message = NetlinkMessage::from(request);
            message.header.flags = NLM_F_REQUEST | flags;
            message.header.sequence_number = self.next;
            self.next = self.next.wrapping_add(1);
            message.finalize();
            let start = self.sent.len();
            let length = message.buffer_len().next_multiple_of(ALIGNMENT);
            self.sent.resize(start + length, 0);
            message.serialize(&mut self.sent[start..]);
        }
        let (socket, sent) = (&self.socket, &self.sent);
        poll_fn(|context| socket.poll_send(context, sent))
            .await
            .map_err(|error| late(&error))?;
        Ok(first)
    }

    /// Receives what the kernel sent at once.
    async fn receive(&mut self) -> Result<Vec<NetlinkMessage<Message>>, Error> {
        let (socket, received) = (&self.socket, &mut self.received);
        received.clear();
        poll_fn(|context| socket.poll_recv(context, received))
            .await
            .map_err(|error| late(&error))?;
        let mut messages = Vec::new();
        let mut rest = self.received.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<Message>::deserialize(rest);
            let Ok(message) = message.inspect_err(|error| debug!("netlink: {error}")) else {
                break;
            };
            let length = (message.header.length as usize).next_multiple_of(ALIGNMENT);
            messages.push(message);
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(messages)
    }
}

/// An answer that does not come because of this, which may be want of room.
fn late(error: &io::Error) -> Error {
    debug!("netlink: {error}");
    Error::Late
}

/// Enlarges the receive buffer of a socket.
pub(crate) fn enlarge(socket: &TokioSocket) {
    // Without the privilege the limit is net.core.rmem_max, and messages are lost a little earlier.
    if setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.socket_ref().set_rx_buf_sz(i32::MAX).ok();
    }
}
