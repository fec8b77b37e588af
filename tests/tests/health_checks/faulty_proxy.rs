//! A proxy between a health check and a server that stalls, cuts, resets or floods the conversation.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lvs_api::model::Family::Ipv4;
use lvs_health::checker::Negotiate;
use lvs_tests::lab::Island;
use lvs_tests::pairs;
use socket2::SockRef;

use crate::asker::{Asker, check};

/// Asks a server whose answers are spoiled in every manner, after so many bytes that the probe still
/// waits for more. It is found bad each time, in time, and without reading much.
///
/// # Panics
///
/// If not.
#[track_caller]
pub(crate) fn spoil(
    asker: &Asker<'_>,
    server: u16,
    checker: &(impl Negotiate + Clone),
    bytes: &[usize],
) {
    let limit = Duration::from_millis(150);
    for (bytes, manner) in pairs(bytes, Manner::ALL) {
        let proxy = FaultyProxy::start(asker.island, server, *bytes, manner);
        let begin = Instant::now();
        let outcome = asker.run(&check(Ipv4, proxy.port, checker.clone(), limit));
        let found = format!("{manner:?} after {bytes} bytes: {}", outcome.text);
        assert!(!outcome.good && !outcome.inconclusive, "{found}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{found}");
        let end = match manner {
            Manner::Silence => " in 150 ms",
            _ => "",
        };
        assert!(outcome.text.ends_with(end), "{found}");
        // What is not read stays in the buffers of two sockets.
        assert!(
            proxy.flooded() < FLOOD / 2,
            "{found}: {} bytes",
            proxy.flooded()
        );
    }
    // A test process and the libraries it has loaded take less than half of this.
    assert!(
        peak_memory() < 200 << 20,
        "{} bytes of memory",
        peak_memory()
    );
}

/// Most memory that this process ever held, in bytes (VmHWM, proc(5)).
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kilobytes << 10
}

/// The fault in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It ends with a reset.
    Reset,
    /// It ends.
    Close,
    /// The server says nothing more.
    Silence,
    /// The server goes on for ever, a byte now and then.
    Drip,
    /// The server goes on with 100 MB.
    Flood,
}

impl Manner {
    const ALL: [Self; 5] = [
        Self::Reset,
        Self::Close,
        Self::Silence,
        Self::Drip,
        Self::Flood,
    ];
}

/// Bytes of a flood.
const FLOOD: u64 = 100 << 20;

/// Passes connections on to a server, and only the beginning of what it answers.
pub(crate) struct FaultyProxy {
    /// The port it listens on.
    pub(crate) port: u16,
    listener: Arc<TcpListener>,
    over: Arc<AtomicBool>,
    flooded: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl FaultyProxy {
    /// Passes on `bytes` of a server's answers in each connection.
    pub(crate) fn start(island: &Island, server: u16, bytes: usize, manner: Manner) -> Self {
        let address = Island::address(Ipv4);
        let to = SocketAddr::new(address, server);
        let over = Arc::new(AtomicBool::new(false));
        let flooded = Arc::new(AtomicU64::new(0));
        let (ended, poured) = (Arc::clone(&over), Arc::clone(&flooded));
        // A thread stays where the one that starts it is.
        let start = move || -> io::Result<_> {
            let listener = Arc::new(TcpListener::bind((address, 0))?);
            let shared = Arc::clone(&listener);
            let thread = thread::spawn(move || {
                while let Ok((client, _)) = shared.accept() {
                    let (ended, poured) = (Arc::clone(&ended), Arc::clone(&poured));
                    thread::spawn(move || relay(client, to, bytes, manner, &ended, &poured));
                }
            });
            Ok((listener, thread))
        };
        let (listener, thread) = island.namespace().enter(start).unwrap().unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            listener,
            over,
            flooded,
            thread: Some(thread),
        }
    }

    /// Bytes of floods that were sent in all.
    fn flooded(&self) -> u64 {
        self.flooded.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes who waits for connections.
        let _ =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection. Whoever hangs up ends it.
fn relay(
    client: TcpStream,
    to: SocketAddr,
    bytes: usize,
    manner: Manner,
    over: &AtomicBool,
    flooded: &AtomicU64,
) {
    let Ok(mut server) = TcpStream::connect(to) else {
        return;
    };
    let (Ok(mut asked), Ok(mut asking)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let questions = thread::spawn(move || {
        let _ = io::copy(&mut asked, &mut asking);
        let _ = asking.shutdown(Shutdown::Both);
    });
    let mut client = client;
    let mut left = bytes;
    let mut buffer = [0; 4096];
    while left > 0 {
        let wanted = left.min(buffer.len());
        match server.read(&mut buffer[..wanted]) {
            Ok(count @ 1..) if client.write_all(&buffer[..count]).is_ok() => left -= count,
            _ => break,
        }
    }
    match manner {
        Manner::Reset => {
            let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        }
        Manner::Close => {}
        Manner::Silence => {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
            }
        }
        Manner::Drip => {
            while !over.load(Ordering::Relaxed) && client.write_all(b"1").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        }
        Manner::Flood => {
            let portion = vec![b'1'; 64 << 10];
            for _ in 0..FLOOD / portion.len() as u64 {
                if client.write_all(&portion).is_err() {
                    break;
                }
                flooded.fetch_add(portion.len() as u64, Ordering::Relaxed);
            }
        }
    }
    let ended = match manner {
        // Unseen from outside; ends the reading of questions, whose clone would keep the connection.
        Manner::Reset => client.shutdown(Shutdown::Read),
        _ => client.shutdown(Shutdown::Both),
    };
    let _ = server.shutdown(Shutdown::Both);
    if ended.is_ok() {
        let _ = questions.join();
    }
}
