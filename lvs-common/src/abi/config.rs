//! Settings of the whole data path.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Mac;
use super::clock::{age, ticks};
use super::sync::Sync;

/// Settings of the whole data path, and the number that says whether a program may use these maps.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    /// [`super::ABI_VERSION`] of whoever made the maps.
    pub abi: u32,
    /// 1 once every map is made and pinned; a start that died half-way left 0.
    pub ready: u32,
    /// Secrets of the connection table's hash, drawn when the maps were made: a program with other
    /// secrets would find nothing.
    pub secrets: [u64; 16],
    /// Timeouts in ticks by protocol and state: index [`Config::timeout_index`].
    pub timeouts: [u32; 48],
    /// Bits of [`Config`]: `RSS_SOURCE` and the like.
    pub options: u32,
    /// ICMP errors the director sends per second and CPU at most.
    pub icmp_rate: u32,
    /// The connections that are replicated, and when.
    pub sync: Sync,
    /// The number of addresses in `own`; 0: frames are looked at whomever they are for.
    pub own_count: u32,
    /// Not 0: there may be probes on the service path.
    pub probing: u32,
    /// Not 0: there are rules for marks that packets find by a key.
    pub keyed_marks: u32,
    /// The rules for marks that packets are compared with, see [`Config::mark_run`].
    pub mark_rules: u32,
    /// Not 0: there are services with [`super::Plan::FTP`].
    pub ftp_services: u32,
    /// The bits of [`super::Interface::SOURCE_CHECKS`] that every interface has.
    pub common_checks: u32,
    /// Changes whenever a way that was looked up may be another one now: routes, rules, links, addresses and
    /// neighbours.
    pub route_generation: u32,
    /// The bits that any interface's [`super::Interface`] has in its `flags`.
    pub interface_flags: u32,
    /// The services that hold more than their share of the connection tables, IPv4's first.
    pub crowds: [Crowd; 2],
    /// Ethernet addresses of this machine, see [`Config::own_address`].
    pub own: [u64; OWN_ADDRESSES],
}

/// The service that holds more than its share of a connection table while others need room: at most one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Crowd {
    /// Its index plus one; 0: there is none.
    pub service: u32,
    /// Clock tick at which the daemon last said so.
    pub said: u32,
}

impl Crowd {
    /// Ticks for which the daemon's word holds: it repeats it every second.
    const HOLDS: u32 = ticks(10);

    /// Index of the service plus one; 0: there is none, or the daemon is gone.
    #[inline(always)]
    pub const fn service(self, now: u32) -> u32 {
        if self.service != 0 && age(now, self.said) > Self::HOLDS {
            return 0;
        }
        self.service
    }
}

/// Room for Ethernet addresses of this machine.
pub const OWN_ADDRESSES: usize = 16;

impl Config {
    /// Bit of `options`: outer source address of tunnels varies with the flow.
    pub const RSS_SOURCE: u32 = 1;
    /// Bit of `options`, which changes at run time: some way out takes no frames from an XDP program. What the
    /// program cannot send by a way that takes them it passes untouched, and the TC program behind it does it.
    pub const MIXED: u32 = 2;
    /// Bit of `options`, which changes at run time: any TCP segment but a reset begins a connection (`sloppy_tcp` of
    /// IPVS).
    pub const SLOPPY_TCP: u32 = 4;
    /// Bit of `options`, which changes at run time: any SCTP packet but an ABORT begins one (`sloppy_sctp`).
    pub const SLOPPY_SCTP: u32 = 8;
    /// Bits of `options`, which change at run time, for `conn_reuse_mode`: the states of TCP connections in which a
    /// SYN begins another connection; set where this differs from [`Config::REUSED`]. Those by NAT from bit 8 on, the
    /// others from bit 16 on.
    pub const REUSE: u32 = 0xffff << 8;
    /// The bits of `options` that stand for settings of `net.ipv4.vs`.
    pub const SYSCTLS: u32 = Self::SLOPPY_TCP | Self::SLOPPY_SCTP | Self::REUSE;

    /// An Ethernet address as a number, for `own`.
    pub const fn own_address(address: Mac) -> u64 {
        let [first @ .., fifth, sixth] = address;
        u32::from_ne_bytes(first) as u64 | (u16::from_ne_bytes([fifth, sixth]) as u64) << 32
    }

    /// The value of `mark_rules` for a run of rules: its first place and its length, both 16 bits. One word, so
    /// that one store replaces all rules.
    pub const fn mark_run(first: u32, count: u32) -> u32 {
        first << 16 | count
    }
}
