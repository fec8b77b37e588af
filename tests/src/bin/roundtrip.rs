//! Both ends of a small transfer, for machines that have no other programs.
//!
//! `roundtrip serve ADDRESS…` sends back what comes to port 80 of these addresses, over TCP and UDP. `roundtrip ask
//! ADDRESS BYTES` sends so many bytes over TCP and a datagram over UDP, and ends well only if both come back whole.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

const PORT: u16 = 80;
/// How long a step may take, on a machine that is emulated.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a datagram's answer is waited for before it is sent again: one may be lost on its way.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is sent.
const TRIES: usize = 4;

#[derive(Parser)]
enum Arguments {
    /// Answers.
    Serve {
        /// Addresses to answer from.
        addresses: Vec<IpAddr>,
    },
    /// Asks.
    Ask {
        /// Address to send to.
        address: IpAddr,
        /// Bytes to send and to receive.
        bytes: usize,
    },
}

fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Serve { addresses } => serve(&addresses),
        Arguments::Ask { address, bytes } => {
            let to = SocketAddr::new(address, PORT);
            ask_tcp(to, bytes).with_context(|| format!("TCP to {to}"))?;
            ask_udp(to).with_context(|| format!("UDP to {to}"))
        }
    }
}

fn serve(addresses: &[IpAddr]) -> Result<()> {
    let mut threads = Vec::new();
    for &address in addresses {
        let at = SocketAddr::new(address, PORT);
        let listener = TcpListener::bind(at).with_context(|| format!("cannot listen on {at}"))?;
        let socket = UdpSocket::bind(at).with_context(|| format!("cannot listen on {at}"))?;
        threads.push(thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever asked sees that it failed.
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        }));
        threads.push(thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        }));
    }
    println!("ready");
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn ask_tcp(to: SocketAddr, bytes: usize) -> Result<()> {
    // No two pieces of it are equal.
    let sent: Vec<u8> = (0..bytes.div_ceil(4) as u64)
        .flat_map(|number| {
            let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            [word[0], word[1], word[2], word[3]]
        })
        .take(bytes)
        .collect();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).context("cannot connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut received = Vec::new();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (&stream).write_all(&sent)?;
            stream.shutdown(Shutdown::Write)
        });
        let read = (&stream).read_to_end(&mut received);
        let written = writer.join().unwrap_or(Err(io::ErrorKind::Other.into()));
        read.and(written)
    })
    .with_context(|| format!("{} of {bytes} bytes came back", received.len()))?;
    stream.flush()?;
    ensure!(received == sent, "other bytes came back than were sent");
    Ok(())
}

fn ask_udp(to: SocketAddr) -> Result<()> {
    let any: IpAddr = if to.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(AGAIN))?;
    let sent = [0x5a; 1_000];
    let mut received = [0; 2_048];
    for _ in 0..TRIES {
        socket.send(&sent)?;
        if let Ok(length) = socket.recv(&mut received) {
            ensure!(received[..length] == sent, "another datagram came back");
            return Ok(());
        }
    }
    anyhow::bail!("no answer")
}
