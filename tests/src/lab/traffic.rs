//! Traffic that goes on while directors change their roles, and what it noticed.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Namespace, RealServer};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// TCP connections that say nothing until they are asked to.
pub struct Idle {
    connections: Vec<Conversation>,
}

struct Conversation {
    stream: BufReader<TcpStream>,
    /// The server that answered first.
    server: String,
}

impl Idle {
    /// Opens connections, and asks each for its server's name once.
    pub fn open(namespace: &Namespace, address: IpAddr, count: usize) -> Result<Self> {
        let to = SocketAddr::new(address, RealServer::PORT);
        let open = || {
            (0..count)
                .map(|_| {
                    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_nodelay(true)?;
                    let mut stream = BufReader::new(stream);
                    let server = ask(&mut stream)?;
                    Ok(Conversation { stream, server })
                })
                .collect::<io::Result<_>>()
        };
        let connections = namespace.enter(open)?;
        Ok(Self {
            connections: connections.with_context(|| format!("cannot connect to {to}"))?,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Asks every connection again. Those that do not answer, or by another server, are lost; why is
    /// returned.
    pub fn speak(&mut self) -> Vec<String> {
        let mut lost = Vec::new();
        // First all questions, then all answers: one that hangs does not delay the others.
        let asked: Vec<_> = self
            .connections
            .iter_mut()
            .map(|connection| send(&mut connection.stream))
            .collect();
        for (connection, asked) in self.connections.iter_mut().zip(asked) {
            match asked.and_then(|()| answer(&mut connection.stream)) {
                Ok(server) if server == connection.server => {}
                Ok(server) => lost.push(format!("{} became {server}", connection.server)),
                Err(error) => lost.push(error.to_string()),
            }
        }
        lost
    }
}

fn ask(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    send(stream)?;
    answer(stream)
}

fn send(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    stream
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
}

fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if let Some(bytes) = line.strip_prefix("Content-Length: ") {
            length = bytes.parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}

/// A UDP stream from one port, which is answered datagram by datagram.
pub struct Datagrams {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<Pauses>,
}

/// Losses and pauses of a stream of datagrams.
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that another server answered than the first.
    pub elsewhere: u64,
    /// Longest time between two answers.
    pub longest: Duration,
    /// Of it, the longest time that the stream itself did not come to run: on a busy machine that may be all.
    pub late: Duration,
}

impl Datagrams {
    /// Sends one each `interval`, until it is stopped.
    pub fn start(namespace: &Namespace, address: IpAddr, interval: Duration) -> Result<Self> {
        let to = SocketAddr::new(address, RealServer::PORT);
        let any: IpAddr = match address {
            IpAddr::V4(_) => [0; 4].into(),
            IpAddr::V6(_) => [0_u16; 8].into(),
        };
        let socket = namespace.enter(|| {
            let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        })??;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        let thread = thread::spawn(move || stream(&socket, interval, &stopped, &count));
        Ok(Self {
            stop,
            answered,
            thread,
        })
    }

    /// How many were answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends it; what it noticed.
    ///
    /// # Panics
    ///
    /// When its thread did.
    pub fn stop(self) -> Pauses {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(pauses) => pauses,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn stream(
    socket: &UdpSocket,
    interval: Duration,
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Pauses {
    let mut pauses = Pauses::default();
    let mut server = None;
    let mut last: Option<Instant> = None;
    let mut buffer = [0; 64];
    let mut next = Instant::now();
    let (mut turn, mut late) = (next, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        // What cannot be sent, as to an address that nobody has, is a pause.
        let _ = socket.send(b"x");
        pauses.sent += 1;
        next += interval;
        loop {
            let now = Instant::now();
            late = late.max(now - turn);
            turn = now;
            while let Ok(length) = socket.recv(&mut buffer) {
                let name = buffer[..length].to_vec();
                let now = Instant::now();
                pauses.answered += 1;
                answered.store(pauses.answered, Ordering::Relaxed);
                pauses.elsewhere += u64::from(*server.get_or_insert_with(|| name.clone()) != name);
                let since = last.map_or(Duration::ZERO, |last| now - last);
                if since > pauses.longest {
                    (pauses.longest, pauses.late) = (since, late);
                }
                (last, late) = (Some(now), Duration::ZERO);
            }
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(Duration::from_micros(500)));
        }
    }
    pauses
}
