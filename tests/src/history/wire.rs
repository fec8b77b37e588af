//! The wires on both sides of a director: frames of clients go in, frames to real servers come out.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lvs_dataplane::kernel::PacketSocket;
use nix::net::if_::if_nametoindex;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::packet::{Kind, Packet};
use super::{MARKER, MARKER_SERVER, SERVERS};

/// All frames, also those that a bridge gets.
const ALL: u16 = 3;
/// No frames are received.
const NOTHING: u16 = 0;
/// A virtual machine may have to wait for its turn.
const PATIENCE: Duration = Duration::from_secs(20);
/// Number of the frame behind the others.
const LAST: u16 = u16::MAX;
/// Room for the frames that there are.
const FRAME: usize = 512;

/// Sockets in the network that the director is in.
pub struct Wire {
    runtime: Runtime,
    clients: PacketSocket,
    servers: PacketSocket,
}

impl Wire {
    /// Sockets at the far ends of the director's wires to the clients and to the real servers, in this network
    /// namespace.
    pub fn open(clients: &str, servers: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let socket = |name: &str, ethertype| {
            let interface = if_nametoindex(name)?;
            anyhow::Ok(PacketSocket::open(interface, ethertype, &[])?)
        };
        let clients = socket(clients, NOTHING).with_context(|| clients.to_owned())?;
        let servers = socket(servers, ALL).with_context(|| servers.to_owned())?;
        drop(inside);
        Ok(Self {
            runtime,
            clients,
            servers,
        })
    }

    /// Sends packets and receives what the director makes of them: for each the letter of the server that it was sent
    /// to, a small one by direct routing, a capital one by NAT, a digit in a tunnel; `.`: none.
    pub(super) fn exchange(&self, packets: &[Packet]) -> Result<Vec<char>> {
        for (number, packet) in (0..LAST).zip(packets) {
            self.clients.send(&packet.frame(number))?;
        }
        let marker = Packet {
            kind: Kind::Udp,
            client: "10.50.255.1:9".parse()?,
            service: MARKER,
            length: 0,
        };
        self.clients.send(&marker.frame(LAST))?;
        let mut letters = vec!['.'; packets.len()];
        let mut frame = [0; FRAME];
        loop {
            let receive = async { timeout(PATIENCE, self.servers.receive(&mut frame)).await };
            let length = self
                .runtime
                .block_on(receive)
                .context("the director does not forward the frame behind the others")??;
            let Some(forwarded) = Forwarded::parse(&frame[..length.min(FRAME)]) else {
                continue;
            };
            if forwarded.number == LAST {
                return Ok(letters);
            }
            let (number, letter) = (usize::from(forwarded.number), forwarded.letter());
            let place = letters.get_mut(number).context("a frame of nobody")?;
            ensure!(*place == '.', "packet {number} was forwarded twice");
            *place = letter;
        }
    }
}

/// A frame on its way to a real server.
struct Forwarded {
    /// IPv4's identification of the client's packet.
    number: u16,
    /// The server, by its Ethernet address.
    server: u8,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    Direct,
    Nat,
    Tunnel,
}

impl Forwarded {
    /// `None`: it is none.
    fn parse(frame: &[u8]) -> Option<Self> {
        let (to, packet) = frame.split_at_checked(14)?;
        let [2, 0, 0, 0, 2, server, .., 8, 0] = *to else {
            return None;
        };
        let is_tunnel = *packet.get(9)? == 4;
        let inner = packet.get(20..).filter(|_| is_tunnel).unwrap_or(packet);
        let identification = [*inner.get(4)?, *inner.get(5)?];
        let destination = inner.get(16..20)?;
        let way = match destination {
            _ if is_tunnel => Way::Tunnel,
            [10, 2, 0, _] => Way::Nat,
            _ => Way::Direct,
        };
        Some(Self {
            number: u16::from_be_bytes(identification),
            server,
            way,
        })
    }

    fn letter(&self) -> char {
        let first = match self.way {
            Way::Direct => b'a',
            Way::Nat => b'A',
            Way::Tunnel => b'1',
        };
        match self.server {
            number @ 1..=SERVERS => char::from(first + number - 1),
            _ => '?',
        }
    }
}

/// Lines for `ip` that tell a director by its device to the servers where they are.
pub fn neighbours(device: &str) -> String {
    let line = |number: u8| {
        let address = super::server_address(number);
        format!(
            "neigh replace {address} lladdr 02:00:00:00:02:{number:02x} dev {device} nud permanent\n"
        )
    };
    (1..=SERVERS).chain([MARKER_SERVER]).map(line).collect()
}
