//! A UDP service that answers each datagram with its server's name and the datagram.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::namespace::Namespace;

/// How long a thread may take to see that it is to stop.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// Threads that work until they are dropped.
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn new() -> Self {
        Self {
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// Repeats a step that blocks for at most [`PATIENCE`].
    pub(super) fn repeat(&mut self, mut step: impl FnMut() + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                step();
            }
        }));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Answers `NAME DATAGRAM` from the address that was asked.
pub(super) struct Responder {
    _workers: Workers,
}

impl Responder {
    pub(super) fn start(
        namespace: &Namespace,
        name: &str,
        addresses: &[SocketAddr],
    ) -> Result<Self> {
        let mut workers = Workers::new();
        for &address in addresses {
            let socket = namespace
                .enter(|| UdpSocket::bind(address))?
                .with_context(|| format!("cannot listen on {address} (UDP)"))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            let name = name.to_owned();
            let mut buffer = vec![0; 65_536];
            workers.repeat(move || {
                if let Ok((length, client)) = socket.recv_from(&mut buffer) {
                    let answer = [name.as_bytes(), b" ", &buffer[..length]].concat();
                    // The client may have gone; it asks again if it has not.
                    let _ = socket.send_to(&answer, client);
                }
            });
        }
        Ok(Self { _workers: workers })
    }
}

/// Sends a datagram from inside a namespace, from a new port, and waits for the answer.
pub(super) fn ask(
    namespace: &Namespace,
    to: SocketAddr,
    text: &str,
    patience: Duration,
) -> Result<String> {
    namespace
        .enter(|| {
            let any: SocketAddr = if to.is_ipv4() {
                ([0; 4], 0).into()
            } else {
                ([0_u16; 8], 0).into()
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(patience))?;
            socket.send(text.as_bytes())?;
            let mut buffer = vec![0; 65_536];
            let length = socket.recv(&mut buffer)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })?
        .with_context(|| format!("no answer from {to} (UDP)"))
}
