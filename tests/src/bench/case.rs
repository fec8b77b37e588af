//! The cases.

use lvs_userspace::model::Method;

use super::frame::{ACK, Payload, SYN, Towards};

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, for people and machines.
    pub name: String,
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// TCP or UDP.
    pub udp: bool,
    /// Forwarding method.
    pub method: Method,
    /// Which way the packets go.
    pub towards: Towards,
    /// Flows, taken at random.
    pub flows: u32,
    /// Entries the connection table can hold.
    pub entries: u32,
    /// Every packet starts a connection.
    pub new: bool,
}

impl Case {
    /// What the measured packets carry.
    pub const fn payload(&self) -> Payload {
        match (self.udp, self.new) {
            (true, _) => Payload::Udp,
            (false, true) => Payload::Tcp(SYN),
            (false, false) => Payload::Tcp(ACK),
        }
    }

    /// Whether the least program forwards such packets: see `yardstick` in `lvs-ebpf/src/bench.rs`.
    pub const fn yardstick(&self) -> bool {
        let known = !self.new && !self.udp && matches!(self.towards, Towards::Server);
        known && matches!(self.method, Method::Direct)
    }

    /// XDP action of a packet that went well: transmitted, or passed.
    pub const fn expected(&self) -> u32 {
        match self.towards {
            Towards::Elsewhere => 2,
            _ => 3,
        }
    }
}

const K512: u32 = 512 << 10;
const M4: u32 = 4 << 20;

/// All cases; with `quick` only those with one flow and a table of 512 k.
pub fn all(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes: &[(u32, u32)] = if quick {
        &[(1, K512)]
    } else {
        &[
            (1, K512),
            (16 << 10, K512),
            (128 << 10, K512),
            (1 << 20, M4),
        ]
    };
    let methods = [
        ("direct", Method::Direct, Towards::Server),
        ("nat", Method::Nat, Towards::Server),
        ("nat-reply", Method::Nat, Towards::Client),
        ("tunnel", Method::Tunnel, Towards::Server),
    ];
    for &(flows, entries) in sizes {
        for ipv6 in [false, true] {
            for (word, method, towards) in methods {
                for udp in [false, true] {
                    // UDP differs from TCP by its states alone: the hot case shows it.
                    if udp && flows != 1 {
                        continue;
                    }
                    // A table of 4 M for IPv6 NAT would not be filled by anybody's memory.
                    let name = format!(
                        "{} {}{} known, {} of {}",
                        word,
                        if udp { "udp" } else { "tcp" },
                        if ipv6 { 6 } else { 4 },
                        count(flows),
                        count(entries),
                    );
                    cases.push(Case {
                        name,
                        ipv6,
                        udp,
                        method,
                        towards,
                        flows,
                        entries,
                        new: false,
                    });
                }
            }
        }
    }
    for ipv6 in [false, true] {
        for (word, method) in [("direct", Method::Direct), ("nat", Method::Nat)] {
            cases.push(Case {
                name: format!("{word} tcp{} new, table of 512 k", if ipv6 { 6 } else { 4 }),
                ipv6,
                udp: false,
                method,
                towards: Towards::Server,
                flows: 100_000,
                entries: K512,
                new: true,
            });
        }
        cases.push(Case {
            name: format!("tcp{} not ours", if ipv6 { 6 } else { 4 }),
            ipv6,
            udp: false,
            method: Method::Direct,
            towards: Towards::Elsewhere,
            flows: 1,
            entries: K512,
            new: false,
        });
    }
    cases
}

fn count(number: u32) -> String {
    match number {
        1 => "1 flow".to_owned(),
        number if number >= 1 << 20 => format!("{} M", number >> 20),
        number => format!("{} k", number >> 10),
    }
}
