//! Sockets that connect again and again: a good part of what a connection costs the kernel is to make
//! its socket and to end it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::connect_unspec;
use socket2::Socket;
use tokio::net::TcpStream;

/// Spare sockets of a family at most. More probes at once than this make sockets of their own.
const MOST: usize = 128;

/// Connects a socket that does not block, and leaves the server's answer without an acknowledgement:
/// [`hang_up`] answers it.
pub(super) async fn connect(socket: Socket, to: SocketAddr) -> io::Result<Socket> {
    // tcp_input.c: tcp_rcv_synsent_state_process.
    socket.set_tcp_quickack(false)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        outcome => return outcome.map(|()| socket),
    }
    // Watched from here to the answer only: a socket that is not connected counts as hung up, which the
    // runtime takes for its end.
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream.into_std()?.into()),
        Some(error) => Err(error),
    }
}

/// Resets the connection; the socket is as it was before.
pub(super) fn hang_up(socket: &Socket) -> io::Result<()> {
    Ok(connect_unspec(socket)?)
}

/// Those that are not in use.
#[derive(Debug, Default)]
pub(super) struct Spares {
    v4: Mutex<Vec<Socket>>,
    v6: Mutex<Vec<Socket>>,
}

impl Spares {
    /// One of the family of this address.
    pub(super) fn take(&self, to: SocketAddr) -> Option<Socket> {
        self.of(to).pop()
    }

    /// One that has hung up and was never bound by anybody.
    pub(super) fn give_back(&self, socket: Socket, to: SocketAddr) {
        let mut sockets = self.of(to);
        if sockets.len() < MOST {
            sockets.push(socket);
        }
    }

    fn of(&self, to: SocketAddr) -> MutexGuard<'_, Vec<Socket>> {
        let sockets = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
