//! A TCP connection of a probe, with or without TLS, read through limits.
//!
//! ```text
//! let mut connection = Connection::open(probe).await?;          // or open_tls(probe, &tls)
//! let greeting = connection.line("greeting").await?;            // no CR, no LF, at most LINE bytes
//! connection.send(b"STARTTLS\r\n").await?;
//! connection.line("answer").await?;
//! let mut connection = connection.start_tls(&tls).await?;
//! ```
//!
//! Each reading operation has the name of the thing that is awaited, a noun, for the message should it
//! not come. None has a timeout of its own: the whole probe has one. All that a connection reads
//! together is bounded ([`ANSWER`], or [`Connection::limited_to`]), also for a library that reads it as [`AsyncRead`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::tls::Tls;
use super::{Probe, socket, tls};
use crate::outcome::Failure;

/// Bytes that are read from one connection at most.
pub(crate) const ANSWER: usize = 2 << 20;
/// Bytes of one line at most.
pub(crate) const LINE: usize = 8 << 10;
/// Bytes of one read.
const PORTION: usize = 4 << 10;

/// A connection to a server.
pub(crate) struct Connection<'p> {
    probe: &'p Probe<'p>,
    stream: Stream,
    /// Address of its other end.
    to: SocketAddr,
    /// Bytes that were read from the stream and not yet returned.
    ahead: BytesMut,
    /// Bytes that may still be read from the stream.
    room: usize,
    /// Bytes that may be read from it altogether.
    limit: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects a socket, in the time the check grants for that.
pub(crate) async fn connect(
    probe: &Probe<'_>,
    socket: TcpSocket,
    to: SocketAddr,
) -> Result<TcpStream, Failure> {
    in_time(probe, socket.connect(to)).await
}

/// Waits for a connection, for as long as the check grants for that.
pub(crate) async fn in_time<T>(
    probe: &Probe<'_>,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    let awaited = "connection";
    probe.awaits(awaited);
    let limit = probe.endpoint.connect_timeout;
    let connected = if limit < probe.endpoint.timeout {
        timeout(limit, connecting)
            .await
            .map_err(|_| Failure::Timeout { awaited, limit })?
    } else {
        connecting.await
    };
    connected.map_err(|source| Failure::Io { awaited, source })
}

impl<'p> Connection<'p> {
    /// Connects to the check's target.
    pub(crate) async fn open(probe: &'p Probe<'p>) -> Result<Self, Failure> {
        Self::open_to(probe, probe.target()).await
    }

    /// Connects to another address that the target names.
    pub(crate) async fn open_to(probe: &'p Probe<'p>, to: SocketAddr) -> Result<Self, Failure> {
        let socket = socket::tcp(probe, to).await.map_err(|source| Failure::Io {
            awaited: "connection",
            source,
        })?;
        let stream = connect(probe, socket, to).await?;
        // Probes are questions and answers: nothing is worth waiting for more to send.
        stream.set_nodelay(true).ok();
        Ok(Self {
            probe,
            stream: Stream::Plain(stream),
            to,
            ahead: BytesMut::new(),
            room: ANSWER,
            limit: ANSWER,
        })
    }

    /// Reads this many bytes at most from now on, in place of what is left of [`ANSWER`].
    pub(crate) const fn limited_to(mut self, bytes: usize) -> Self {
        (self.room, self.limit) = (bytes, bytes);
        self
    }

    /// Connects to the check's target; with TLS from the start, if there is any.
    pub(crate) async fn open_tls(probe: &'p Probe<'p>, tls: Option<&Tls>) -> Result<Self, Failure> {
        let connection = Self::open(probe).await?;
        match tls {
            Some(tls) => connection.start_tls(tls).await,
            None => Ok(connection),
        }
    }

    /// Goes on with TLS. Bytes that the server sent after its consent and before the handshake are an
    /// injection (RFC 3207, section 4.2 and CVE-2011-0411), which is refused.
    pub(crate) async fn start_tls(self, tls: &Tls) -> Result<Self, Failure> {
        let awaited = "TLS handshake";
        if !self.ahead.is_empty() {
            return Err(Failure::answer(
                "plain text before the TLS handshake",
                "none",
            ));
        }
        let Stream::Plain(stream) = self.stream else {
            return Err(Failure::Own("TLS within TLS".to_owned()));
        };
        self.probe.awaits(awaited);
        let stream = self.probe.tls.handshake(tls, self.to.ip(), stream).await?;
        Ok(Self {
            stream: Stream::Tls(Box::new(stream)),
            ..self
        })
    }

    /// Names the thing that is waited for, see [`Probe::awaits`].
    pub(crate) fn awaits(&self, what: &'static str) {
        self.probe.awaits(what);
    }

    /// The address and port it comes from.
    pub(crate) fn own_address(&self) -> io::Result<SocketAddr> {
        let stream = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        stream.local_addr()
    }

    /// Sends all of it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|source| Failure::Io {
            awaited: self.probe.awaited(),
            source,
        })
    }

    /// Ends the sending direction.
    pub(crate) async fn finish_sending(&mut self) -> Result<(), Failure> {
        self.stream.shutdown().await.map_err(|source| Failure::Io {
            awaited: self.probe.awaited(),
            source,
        })
    }

    /// The next line, without its end; what is no UTF-8 in it is replaced.
    pub(crate) async fn line(&mut self, awaited: &'static str) -> Result<String, Failure> {
        match self.find_line(awaited).await? {
            Some(length) => Ok(self.remove_line(length)),
            None => Err(Failure::closed(awaited)),
        }
    }

    /// The next line, or what there is instead of one at the end of the connection; none when there is
    /// nothing.
    pub(crate) async fn line_or_end(
        &mut self,
        awaited: &'static str,
    ) -> Result<Option<String>, Failure> {
        Ok(match self.find_line(awaited).await? {
            Some(length) => Some(self.remove_line(length)),
            None if self.ahead.is_empty() => None,
            None => Some(self.remove_line(self.ahead.len())),
        })
    }

    /// Reads until there is a line, and returns its length with its end; none: the connection ended
    /// before.
    async fn find_line(&mut self, awaited: &'static str) -> Result<Option<usize>, Failure> {
        let mut looked_at = 0;
        loop {
            let unseen = &self.ahead[looked_at..];
            if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(looked_at + end + 1));
            }
            looked_at = self.ahead.len();
            if looked_at > LINE {
                return Err(Failure::TooLong { limit: LINE });
            }
            if self.fill(awaited).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn remove_line(&mut self, length: usize) -> String {
        let line = self.ahead.split_to(length);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8_lossy(line).into_owned()
    }

    /// The next bytes, exactly so many.
    pub(crate) async fn exactly(
        &mut self,
        count: usize,
        awaited: &'static str,
    ) -> Result<BytesMut, Failure> {
        if count > self.limit {
            return Err(Failure::TooLong { limit: self.limit });
        }
        while self.ahead.len() < count {
            if self.fill(awaited).await? == 0 {
                return Err(Failure::closed(awaited));
            }
        }
        Ok(self.ahead.split_to(count))
    }

    /// Everything until the server ends the connection, which must not be more than `limit` bytes.
    pub(crate) async fn rest(
        &mut self,
        limit: usize,
        awaited: &'static str,
    ) -> Result<BytesMut, Failure> {
        while self.ahead.len() <= limit {
            if self.fill(awaited).await? == 0 {
                return Ok(self.ahead.split());
            }
        }
        Err(Failure::TooLong { limit })
    }

    /// Reads more, as much as is there but at least a byte; 0 at the end of the connection.
    async fn fill(&mut self, awaited: &'static str) -> Result<usize, Failure> {
        self.probe.awaits(awaited);
        if self.room == 0 {
            return Err(Failure::TooLong { limit: self.limit });
        }
        self.ahead.reserve(PORTION);
        let count = match self.stream.read_buf(&mut self.ahead).await {
            Ok(count) => count,
            // The peer ends TLS without a close_notify (RFC 8446, section 6.1), as many servers do. An
            // answer of known length is complete or not; of one that is read to its end, truncation
            // cannot be seen.
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && matches!(self.stream, Stream::Tls(_)) =>
            {
                0
            }
            Err(source) => {
                let source = tls::in_words(source);
                return Err(Failure::Io { awaited, source });
            }
        };
        self.room = self.room.saturating_sub(count);
        Ok(count)
    }
}

impl AsyncRead for Connection<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        if self.room == 0 {
            let limit = Failure::TooLong { limit: self.limit };
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, limit)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let count = buffer.filled().len() - before;
        self.room = self.room.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
