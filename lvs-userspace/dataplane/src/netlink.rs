//! Requests to the kernel's network tables (rtnetlink(7)), and why they fail.

use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::sys::{AsyncSocket as _, TokioSocket};
use tokio::time::timeout;

/// Receive buffer in bytes: some twenty thousand messages.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The kernel answers while it receives the request, so an answer that is late is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
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
    /// A socket ended.
    #[error("the netlink socket is closed")]
    Closed,
}

/// The kernel's answer to one request: a message; none if it only acknowledges the request, or if the
/// message is of a kind that the library cannot decode.
pub type Answer = io::Result<Option<RouteNetlinkMessage>>;

/// A netlink socket for requests.
#[derive(Debug)]
pub struct Requests(rtnetlink::Handle);

impl Requests {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open() -> Result<Self, Error> {
        let (mut connection, handle, _) = rtnetlink::new_connection().map_err(Error::Open)?;
        enlarge(connection.socket_mut());
        // The end of a dump has the flag of an interruption. Without acknowledgements a closed socket would look
        // like a success.
        connection.set_forward_done(true);
        connection.set_forward_ack(true);
        tokio::spawn(connection);
        Ok(Self(handle))
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
        let mut answers = self.send(request, NLM_F_DUMP)?;
        let mut whole = true;
        loop {
            let (header, payload) = next(&mut answers).await?.into_parts();
            whole &= header.flags & NLM_F_DUMP_INTR == 0;
            match payload {
                NetlinkPayload::InnerMessage(message) => take(message),
                NetlinkPayload::Done(_) if whole => return Ok(()),
                NetlinkPayload::Done(_) => return Err(Error::Interrupted),
                NetlinkPayload::Error(error) => return Err(Error::Refused(error.to_io())),
                _ => {}
            }
        }
    }

    /// Sends requests that have at most one message as answer. Returns the answers in their order.
    pub async fn send_all(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
        flags: u16,
    ) -> Result<Vec<Answer>, Error> {
        let mut sent = Vec::new();
        for request in requests {
            // The acknowledgement ends the answer also where the library drops the message before it,
            // which it does with all that it cannot decode.
            sent.push(self.send(request, flags | NLM_F_ACK)?);
        }
        let mut answers = Vec::new();
        for answer in sent {
            answers.push(self::answer(answer).await?);
        }
        Ok(answers)
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

    fn send(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin + use<>, Error>
    {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        self.0.request(message).map_err(|_| Error::Closed)
    }
}

async fn answer(
    mut answers: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
) -> Result<Answer, Error> {
    let mut message = None;
    loop {
        match next(&mut answers).await?.payload {
            NetlinkPayload::InnerMessage(inner) => message = Some(inner),
            NetlinkPayload::Error(error) if error.code.is_some() => return Ok(Err(error.to_io())),
            _ => return Ok(Ok(message)),
        }
    }
}

async fn next<T>(answers: &mut (impl Stream<Item = T> + Unpin)) -> Result<T, Error> {
    let next = timeout(ANSWER_TIMEOUT, answers.next()).await;
    next.map_err(|_| Error::Late)?.ok_or(Error::Closed)
}

/// Enlarges the receive buffer of a socket.
pub(crate) fn enlarge(socket: &TokioSocket) {
    // Without the privilege the limit is net.core.rmem_max, and messages are lost a little earlier.
    if setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.socket_ref().set_rx_buf_sz(i32::MAX).ok();
    }
}
