//! The least CPU time of connections to many servers: a bare loop that knows only when each is due.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Precision of the schedule, the same as of lvsd's timers.
const TICK: Duration = Duration::from_millis(1);

/// Connections that are begun at once.
const AT_ONCE: usize = 64;

/// Begins a connection to each of these once in every interval, evenly spread over it, and answers the
/// server's answer by a reset, as a probe does.
pub(crate) fn connect(to: &[SocketAddr], interval: Duration, stop: &AtomicBool) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut open: Vec<Option<TcpStream>> = to.iter().map(|_| None).collect();
    let apart = interval / u32::try_from(to.len())?;
    let (begin, mut next) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        // Thousands a second for a minute: far from what 32 bits count. Who is late does not do without
        // looking who has answered.
        for _ in 0..AT_ONCE {
            if Instant::now() < begin + apart * next {
                break;
            }
            let place = usize::try_from(next)? % to.len();
            ensure!(open[place].is_none(), "{} does not answer", to[place]);
            let mut stream = begin_to(to[place])?;
            let registry = poll.registry();
            registry.register(&mut stream, Token(place), Interest::WRITABLE)?;
            open[place] = Some(stream);
            next += 1;
        }
        poll.poll(&mut events, Some(TICK))?;
        for event in &events {
            let Some(stream) = open[event.token().0].take() else {
                continue;
            };
            ensure!(stream.take_error()?.is_none(), "a connection failed");
        }
    }
    Ok(())
}

fn begin_to(to: SocketAddr) -> Result<TcpStream> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
    socket.set_tcp_quickack(false)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => other?,
    }
    Ok(TcpStream::from_std(socket.into()))
}
