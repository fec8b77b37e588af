//! Connections that are held for long, for stories about what becomes of them.
//!
//! `flow serve NAME ADDRESS…` answers every line, over TCP and UDP, with its name. `flow hold
//! PROTOCOL:ADDRESS…` opens a connection to each address and, for each line of its input, has every
//! one of them ask once and prints who answered. `flow say FROM TO TIMES` sends its input as a datagram, so
//! many times. `flow send INTERFACE WHAT FROM TO` sends a frame without any socket's knowledge: `syn`, `ack`, `fin`,
//! `rst` or `udp`; FROM may have a range of ports (`10.0.0.1:1000-1019`), one frame each.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lvs_dataplane::kernel::PacketSocket;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::history::{self, History, Ipvs, Wire};
use nix::net::if_::if_nametoindex;
use tokio::runtime::Builder;

/// Emulated machines are slow, and a neighbour may have to be found anew.
const PATIENCE: Duration = Duration::from_secs(20);
/// A datagram may be lost where a segment would be sent again.
const ATTEMPTS: u32 = 20;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [verb, name, addresses @ ..] if verb == "serve" => serve(name, addresses),
        [verb, from, to, times] if verb == "say" => say(from, to, times.parse()?),
        [verb, interface, what, from, to] if verb == "send" => send(interface, what, from, to),
        [verb, clients, servers, histories @ ..] if verb == "play" => {
            play(clients, servers, histories)
        }
        [verb, targets @ ..] if verb == "hold" => hold(targets),
        _ => {
            bail!(
                "flow serve NAME ADDRESS… | flow hold PROTOCOL:ADDRESS… | flow say FROM TO TIMES | flow send INTERFACE \
                 WHAT FROM TO | flow play CLIENTS SERVERS HISTORY…"
            )
        }
    }
}

fn serve(name: &str, addresses: &[String]) -> Result<()> {
    let mut threads = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).with_context(|| address.clone())?;
        let socket = UdpSocket::bind(address).with_context(|| address.clone())?;
        let line = format!("{name}\n");
        let answer = line.clone();
        threads.push(thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                // It ends with its connection.
                thread::spawn(move || answer_lines(stream, &answer));
            }
        }));
        threads.push(thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, client)) = socket.recv_from(&mut buffer) {
                // A client that is gone needs no answer.
                let _ = socket.send_to(line.as_bytes(), client);
            }
        }));
    }
    println!("{name} is ready");
    for thread in threads {
        drop(thread.join());
    }
    Ok(())
}

fn answer_lines(stream: TcpStream, answer: &str) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        line?;
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn say(from: &str, to: &str, times: u32) -> Result<()> {
    let mut datagram = Vec::new();
    io::stdin().read_to_end(&mut datagram)?;
    let socket = UdpSocket::bind(from).with_context(|| from.to_owned())?;
    for _ in 0..times {
        socket.send_to(&datagram, to)?;
        // Each finds the connection of the one before.
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Sends frames from an Ethernet address to another one, see [`lvs_tests::frames::Packet::new`].
fn send(interface: &str, what: &str, from: &str, to: &str) -> Result<()> {
    const NOTHING: u16 = 0;
    let (address, ports) = from.rsplit_once(':').context("FROM has no port")?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse()?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse()?, last.parse()?);
    let to: SocketAddr = to.parse()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let socket = PacketSocket::open(if_nametoindex(interface)?, NOTHING, &[])?;
    for port in first..=last {
        let ports = [port, to.port()];
        let tcp = |flags| Content::Tcp {
            ports,
            flags,
            data: Vec::new(),
        };
        let content = match what {
            "syn" => tcp(0x02),
            "ack" => tcp(0x10),
            "fin" => tcp(0x11),
            "rst" => tcp(0x04),
            "udp" => Content::Udp {
                ports,
                data: b"?\n".to_vec(),
                checksum: true,
            },
            _ => bail!("{what} is none of syn, ack, fin, rst and udp"),
        };
        socket.send(&Packet::new(address, to.ip(), content).frame())?;
    }
    Ok(())
}

fn play(clients: &str, servers: &str, histories: &[String]) -> Result<()> {
    let wire = Wire::open(clients, servers)?;
    history::begin(&mut Ipvs)?;
    for text in histories {
        let history = History::parse(text).with_context(|| format!("{text} is no history"))?;
        let answers = history::play(&mut Ipvs, &wire, &history)?;
        print!("history {text}\n{}", answers.text(&history));
    }
    Ok(())
}

enum Flow {
    Tcp(BufReader<TcpStream>),
    Udp(UdpSocket),
}

impl Flow {
    fn open(target: &str) -> Result<Self> {
        let (protocol, address) = target.split_once(':').context("no protocol")?;
        let address: SocketAddr = address.parse()?;
        if protocol == "tcp" {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            return Ok(Self::Tcp(BufReader::new(stream)));
        }
        let any: SocketAddr = if address.is_ipv4() {
            "0.0.0.0:0".parse()?
        } else {
            "[::]:0".parse()?
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE / ATTEMPTS))?;
        Ok(Self::Udp(socket))
    }

    /// The name of the server that answers.
    fn ask(&mut self) -> Result<String> {
        match self {
            Self::Tcp(stream) => {
                stream.get_mut().write_all(b"?\n")?;
                let mut line = String::new();
                stream.read_line(&mut line)?;
                Ok(line.trim().to_owned())
            }
            Self::Udp(socket) => {
                let mut buffer = [0; 64];
                for _ in 0..ATTEMPTS {
                    // Where nobody listens at the moment somebody else may soon.
                    let _ = socket.send(b"?\n");
                    if let Ok(length) = socket.recv(&mut buffer) {
                        let answer = buffer.get(..length).unwrap_or_default();
                        return Ok(String::from_utf8_lossy(answer).trim().to_owned());
                    }
                }
                bail!("no answer")
            }
        }
    }
}

fn hold(targets: &[String]) -> Result<()> {
    let open = |target: &String| Flow::open(target).with_context(|| target.clone());
    let mut flows: Vec<Flow> = targets.iter().map(open).collect::<Result<_>>()?;
    for line in io::stdin().lines() {
        let line = line?;
        for (target, flow) in targets.iter().zip(&mut flows) {
            let said = flow.ask().unwrap_or_else(|error| format!("error: {error}"));
            println!("{line} {target} {said}");
        }
        println!("{line} done");
    }
    Ok(())
}
