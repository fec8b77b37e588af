//! The raw sockets of half-open connections of one family.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::filter::{NOTHING, to_ports};
use super::segment::{self, Ports};
use super::source::{Routes, Source};

/// Ports that connections come from. With one alone a SYN that follows another one to the same server
/// could get there before the reset of the first.
const PORTS: usize = 16;
/// Longest start of a packet that is looked at: an IPv4 header with options, and a TCP header with options.
const LONGEST: usize = 120;
/// Packets that are taken at once; then connections are begun again.
const AT_ONCE: usize = 256;
/// Bytes of SYNs that may wait for a neighbour to say its hardware address: those to thousands of servers
/// that are gone.
const UNSENT: usize = 64 << 20;
/// Bytes of answers that may wait.
const UNHEARD: usize = 16 << 20;

/// What begins a connection.
#[derive(Clone, Copy, Debug)]
pub struct Syn {
    /// The address it comes from.
    pub source: IpAddr,
    /// No other will do.
    pub told: bool,
    /// The port that it comes from.
    pub port: u16,
    /// The server.
    pub to: SocketAddr,
    /// Its sequence number, which the answer repeats.
    pub number: u32,
}

/// What was said of a connection.
#[derive(Debug)]
pub struct Heard {
    /// Who was to answer.
    pub server: IpAddr,
    /// From here to there.
    pub ports: Ports,
    /// The SYN's sequence number.
    pub number: u32,
    /// Whether the server accepts it; else who refuses, or why it does not get there.
    pub answer: io::Result<()>,
}

#[derive(Debug)]
pub(super) struct Sockets {
    /// Hears nothing: an error that is about another connection would come in the way of sending.
    out: Socket,
    /// To the standard library a raw socket is like any other.
    back: UdpSocket,
    /// Nobody else can have their ports as long as they are open. They do not listen: to TCP, what comes for
    /// them is for nobody.
    held: Vec<(Socket, u16)>,
    routes: Routes,
    domain: Domain,
}

impl Sockets {
    pub(super) fn open(domain: Domain) -> io::Result<Self> {
        let any: IpAddr = match domain {
            Domain::IPV4 => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let any = SocketAddr::new(any, 0);
        let hold = |_| {
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&any.into())?;
            let port = socket.local_addr()?.as_socket().map(|held| held.port());
            Ok((socket, port.unwrap_or_default()))
        };
        let held: Vec<_> = (0..PORTS).map(hold).collect::<io::Result<_>>()?;
        let raw = || Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::TCP));
        let (out, back) = (raw()?, raw()?);
        out.attach_filter(&[NOTHING])?;
        back.attach_filter(&to_ports(domain, held.iter().map(|(_, port)| *port)))?;
        match domain {
            Domain::IPV4 => setsockopt(&back, sockopt::Ipv4RecvErr, &true)?,
            _ => setsockopt(&back, sockopt::Ipv6RecvErr, &true)?,
        }
        // As much as an ordinary socket may have will do, if more is not granted.
        let _ = setsockopt(&out, sockopt::SndBufForce, &UNSENT);
        let _ = setsockopt(&back, sockopt::RcvBufForce, &UNHEARD);
        Ok(Self {
            out,
            back: back.into(),
            held,
            routes: Routes::new(any)?,
            domain,
        })
    }

    /// Where answers come, for whoever waits for them.
    pub(super) fn back(&self) -> io::Result<UdpSocket> {
        self.back.try_clone()
    }

    /// What begins a connection, and has not been sent yet.
    pub(super) fn syn(
        &self,
        to: SocketAddr,
        source: &mut Source,
        number: u32,
        now: Instant,
    ) -> io::Result<Syn> {
        Ok(Syn {
            source: source.to(to, &self.routes, now)?,
            told: source.is_told(),
            port: fastrand::choice(&self.held).map_or(0, |(_, port)| *port),
            to,
            number,
        })
    }

    /// Sends it.
    pub(super) fn send(&self, syn: &Syn) -> io::Result<()> {
        match self.send_from(syn.source, syn) {
            // Maybe the address is no longer there (route.c: ip_route_output_key_hash_rcu).
            Err(Errno::EINVAL | Errno::ENETUNREACH) if !syn.told => {
                Ok(self.send_from(self.routes.source(syn.to)?, syn)?)
            }
            // The same, which bind() tells from packets that have nowhere to go.
            Err(error @ (Errno::EINVAL | Errno::ENETUNREACH)) => {
                UdpSocket::bind((syn.source, 0)).and_then(|_| Err(error.into()))
            }
            sent => Ok(sent?),
        }
    }

    fn send_from(&self, source: IpAddr, syn: &Syn) -> nix::Result<()> {
        let from = SocketAddr::new(source, syn.port);
        let segment = segment::syn(from, syn.to, syn.number).ok_or(Errno::EAFNOSUPPORT)?;
        // To a raw socket a port would be a protocol (raw(7), ipv6(7)).
        let mut there = syn.to;
        there.set_port(0);
        let there = SockaddrStorage::from(there);
        let (v4, v6);
        let source = match from.ip() {
            IpAddr::V4(address) => {
                v4 = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            IpAddr::V6(address) => {
                v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: address.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        let sent = sendmsg(
            self.out.as_raw_fd(),
            &[IoSlice::new(&segment)],
            &[source],
            MsgFlags::MSG_DONTWAIT,
            Some(&there),
        );
        sent.map(drop)
    }

    /// Passes on what was said of connections. False: there may be more.
    pub(super) fn hear(&self, mut tell: impl FnMut(Heard)) -> bool {
        let mut packet = [0; LONGEST];
        for _ in 0..AT_ONCE {
            match self.back.recv_from(&mut packet) {
                Ok((length, from)) => {
                    if let Some(heard) = self.read(&packet[..length], from.ip()) {
                        tell(heard);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                // That there are errors to be read, one for each ICMP message.
                Err(_) => {
                    while let Ok(heard) = self.error() {
                        heard.into_iter().for_each(&mut tell);
                    }
                }
            }
        }
        false
    }

    /// What a packet says.
    fn read(&self, packet: &[u8], server: IpAddr) -> Option<Heard> {
        let segment = match self.domain {
            Domain::IPV4 => segment::past_ipv4(packet)?,
            _ => packet,
        };
        let answer = segment::answer(segment)?;
        let refused = || io::Error::from_raw_os_error(libc::ECONNREFUSED);
        Some(Heard {
            server,
            ports: Ports {
                from: answer.ports.to,
                to: answer.ports.from,
            },
            number: answer.number,
            answer: answer.accepted.then_some(()).ok_or_else(refused),
        })
    }

    /// What an ICMP message says (ip(7), `IP_RECVERR`).
    fn error(&self) -> io::Result<Option<Heard>> {
        let mut repeated = [0; LONGEST];
        let mut into = [IoSliceMut::new(&mut repeated)];
        let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let message = recvmsg::<SockaddrStorage>(
            self.back.as_raw_fd(),
            &mut into,
            Some(&mut control),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let server = message.address.as_ref().and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        });
        let error = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => i32::try_from(error.ee_errno).ok(),
            _ => None,
        });
        let length = message.bytes;
        let repeated = segment::repeated(&repeated[..length]);
        let heard = server.zip(error).zip(repeated);
        Ok(heard.map(|((server, error), (ports, number))| Heard {
            server,
            ports,
            number,
            answer: Err(io::Error::from_raw_os_error(error)),
        }))
    }
}
