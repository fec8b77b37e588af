//! The cases.

use lvs_api::model::{Checksum, Method, Tunnel};
use lvs_replication::Interest;

use super::frame::{ACK, Payload, SYN, Towards};
use crate::pairs;

/// One row of the table.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of the table"
)]
pub struct Case {
    /// Its name, for people and machines.
    pub name: String,
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// TCP or UDP.
    pub udp: bool,
    /// Forwarding method.
    pub method: Method,
    /// Encapsulation of tunnels.
    pub tunnel: Tunnel,
    /// Which way the packets go.
    pub towards: Towards,
    /// Flows, taken at random.
    pub flows: u32,
    /// Entries the connection table can hold.
    pub entries: u32,
    /// Every packet starts a connection.
    pub new: bool,
    /// Prefixes in the deny list of the service's filter, none of which has many clients; 0: no filter.
    pub denied: usize,
    /// The interface has `rp_filter` 1.
    pub source_check: bool,
    /// The replication of the case's connections, if any.
    pub sync: Option<Interest>,
    /// The program's way into the interface, for live frames.
    pub by: By,
}

/// A program's way into an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// XDP in the driver.
    Native,
    /// XDP on the kernel's socket buffers.
    Generic,
    /// TC, of packets that came alone: as behind generic XDP, which keeps its interface from merging them.
    Tc,
    /// TC behind GRO, which looks at each packet for others of its connection.
    TcGro,
    /// None: the kernel forwards them, as TC's without GRO.
    Kernel,
}

impl Case {
    /// The payload of the measured packets.
    pub const fn payload(&self) -> Payload {
        match (self.udp, self.new) {
            (true, _) => Payload::Udp,
            (false, true) => Payload::Tcp(SYN),
            (false, false) => Payload::Tcp(ACK),
        }
    }

    /// True if the smallest program forwards such packets: see `yardstick` in `lvs-ebpf/src/bench.rs`.
    pub const fn yardstick(&self) -> bool {
        let known = !self.new && !self.udp && matches!(self.towards, Towards::Server);
        known && matches!(self.method, Method::Direct)
    }
}

const K512: u32 = 512 << 10;
const M4: u32 = 4 << 20;

/// Connections and the size of their table.
type Size = (u32, u32);

/// The destination of a case's packets.
type Way = (&'static str, Method, Towards);

const WAYS: [Way; 4] = [
    ("direct", Method::Direct, Towards::Server),
    ("nat", Method::Nat, Towards::Server),
    ("nat-reply", Method::Nat, Towards::Client),
    ("tunnel", Method::Tunnel, Towards::Server),
];

/// Encapsulations beside IP in IP.
const TUNNELS: [(&str, Tunnel); 4] = [
    (
        "gue",
        Tunnel::Gue {
            port: 6080,
            checksum: Checksum::None,
        },
    ),
    (
        "gue with checksum",
        Tunnel::Gue {
            port: 6080,
            checksum: Checksum::Full,
        },
    ),
    (
        "gre",
        Tunnel::Gre {
            checksum: Checksum::None,
        },
    ),
    (
        "gre with checksum",
        Tunnel::Gre {
            checksum: Checksum::Full,
        },
    ),
];

/// Cases of the harness; with `quick` only those with one flow and a table of 512 k.
pub fn all(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes: &[Size] = if quick {
        &[(1, K512)]
    } else {
        &[
            (1, K512),
            (16 << 10, K512),
            (128 << 10, K512),
            (1 << 20, M4),
        ]
    };
    for &size in sizes {
        for (ipv6, way) in pairs([false, true], WAYS) {
            cases.push(known(way, false, ipv6, size));
            // UDP differs from TCP by its states alone: the hot case shows it.
            if size.0 == 1 {
                cases.push(known(way, true, ipv6, size));
            }
            if size.0 == 1 && matches!(way.1, Method::Direct) {
                let known = known(way, false, ipv6, size);
                cases.push(synced(&known, "peers", Interest::Changes));
                cases.push(synced(&known, "sync", Interest::Repeats));
            }
        }
    }
    for (ipv6, (word, tunnel)) in pairs([false, true], TUNNELS) {
        let way = (word, Method::Tunnel, Towards::Server);
        cases.push(Case {
            tunnel,
            ..known(way, false, ipv6, (1, K512))
        });
    }
    for ipv6 in [false, true] {
        for way in WAYS {
            let (_, method, towards) = way;
            if towards == Towards::Server {
                let new = new(way, false, ipv6);
                if !ipv6 && method != Method::Tunnel {
                    cases.push(Case {
                        name: format!("{}, source check", new.name),
                        source_check: true,
                        ..new.clone()
                    });
                }
                cases.push(new);
            }
            if method == Method::Direct {
                cases.push(new(way, true, ipv6));
                let new = new(way, false, ipv6);
                cases.push(Case {
                    name: format!("{}, filter of 50 k", new.name),
                    denied: 50_000,
                    ..new
                });
            }
        }
        for udp in [false, true] {
            let name = format!("{} not ours", protocol(udp, ipv6));
            let way = ("", Method::Direct, Towards::Elsewhere);
            cases.push(Case {
                name,
                ..known(way, udp, ipv6, (1, K512))
            });
        }
    }
    cases
}

/// Cases of live frames; with `quick` only those with one flow.
pub fn live(quick: bool) -> Vec<Case> {
    let one = (1, K512);
    let [direct, nat, _, tunnel] = WAYS;
    let mut cases = vec![
        known(direct, false, false, one),
        known(direct, false, true, one),
        known(nat, false, false, one),
        known(tunnel, false, false, one),
    ];
    if !quick {
        let sizes = [(16 << 10, K512), (128 << 10, K512)];
        cases.extend(sizes.map(|size| known(direct, false, false, size)));
    }
    for by in [By::Generic, By::Tc, By::TcGro] {
        for way in [direct, nat, tunnel] {
            let case = known(way, false, false, one);
            cases.push(Case { by, ..case });
        }
    }
    cases.push(Case {
        by: By::Kernel,
        ..known(direct, false, false, one)
    });
    for case in &mut cases {
        case.name.insert_str(
            0,
            match case.by {
                By::Native => "live ",
                By::Generic => "live generic ",
                By::Tc => "live tc ",
                By::TcGro => "live tc with gro ",
                By::Kernel => "live kernel instead of ",
            },
        );
    }
    cases
}

/// Packets of known connections.
fn known((word, method, towards): Way, udp: bool, ipv6: bool, (flows, entries): Size) -> Case {
    let name = format!(
        "{word} {} known, {} of {}",
        protocol(udp, ipv6),
        count(flows),
        count(entries),
    );
    Case {
        name,
        ipv6,
        udp,
        method,
        tunnel: Tunnel::Ipip,
        towards,
        flows,
        entries,
        new: false,
        denied: 0,
        source_check: false,
        sync: None,
        by: By::Native,
    }
}

/// The same case with connection replication.
fn synced(case: &Case, how: &str, interest: Interest) -> Case {
    Case {
        name: format!("{}, {how}", case.name),
        sync: Some(interest),
        ..case.clone()
    }
}

/// Packets that each start a connection.
///
/// All of them stay half-open, of which a set holds no more than half of its ways: a NAT connection has two entries,
/// so that with as many others would be recycled for each third.
fn new(way: Way, udp: bool, ipv6: bool) -> Case {
    let (word, method, _) = way;
    let flows = match method {
        Method::Nat => 50_000,
        _ => 100_000,
    };
    Case {
        name: format!("{word} {} new, table of 512 k", protocol(udp, ipv6)),
        new: true,
        ..known(way, udp, ipv6, (flows, K512))
    }
}

fn protocol(udp: bool, ipv6: bool) -> String {
    format!(
        "{}{}",
        if udp { "udp" } else { "tcp" },
        if ipv6 { 6 } else { 4 }
    )
}

fn count(number: u32) -> String {
    match number {
        1 => "1 flow".to_owned(),
        number if number >= 1 << 20 => format!("{} M", number >> 20),
        number => format!("{} k", number >> 10),
    }
}
