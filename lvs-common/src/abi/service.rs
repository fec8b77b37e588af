//! Virtual services, their plans and members.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;
use super::tree::TreeShape;

/// Key of a virtual service.
///
/// A firewall mark's service has its mark (network order) in the place of the address, no port and the
/// protocol [`ServiceKey::MARK`], by which no packet is looked up: packets find it by the rules that give
/// them the mark, see [`super::Marked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServiceKey {
    /// Virtual address.
    pub address: Address,
    /// Port, network order; 0 for every port that has no service of its own.
    pub port: U16,
    /// IP protocol number: 6, 17 or 132, or [`ServiceKey::MARK`].
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
}

impl ServiceKey {
    /// `protocol` of a firewall mark's service.
    pub const MARK: u8 = 0;
}

/// The way to pick a real server. Everything that differs between IPVS's schedulers beyond that is in
/// the table the daemon lays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pick {
    /// No server can be picked.
    Nothing = 0,
    /// The table's next slot, by ticket: rr, wrr.
    Rotate = 1,
    /// Least connections, weights ignored but for 0: lc.
    Least = 2,
    /// Least connections in relation to the weight: wlc.
    WeightedLeast = 3,
    /// The table's slot by the source address' hash: sh.
    SourceHash = 4,
    /// The table's slot by the destination address' hash: dh.
    DestinationHash = 5,
    /// The Maglev table's slot by the source address' hash: mh.
    Maglev = 6,
    /// Fewest established connections, with the new one, in relation to the weight: sed.
    ShortestDelay = 7,
    /// The first without an established connection, else as the one before: nq.
    NeverQueue = 8,
    /// The heaviest: fo.
    Failover = 9,
    /// The heaviest that has no more established connections than its weight: ovf.
    Overflow = 10,
    /// The one of two random slots with less connections in relation to its weight: twos.
    TwoRandom = 11,
    /// The destination's server, see [`super::Locality`]: lblc.
    Locality = 12,
    /// The one of the destination's servers with the least connections in relation to its weight: lblcr.
    LocalitySet = 13,
}

impl Pick {
    /// Returns whether it is the best of all members.
    pub const fn is_best(self) -> bool {
        matches!(
            self,
            Self::Least
                | Self::WeightedLeast
                | Self::ShortestDelay
                | Self::NeverQueue
                | Self::Failover
                | Self::Overflow
        )
    }

    /// Total: what no daemon writes picks nothing.
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Rotate,
            2 => Self::Least,
            3 => Self::WeightedLeast,
            4 => Self::SourceHash,
            5 => Self::DestinationHash,
            6 => Self::Maglev,
            7 => Self::ShortestDelay,
            8 => Self::NeverQueue,
            9 => Self::Failover,
            10 => Self::Overflow,
            11 => Self::TwoRandom,
            12 => Self::Locality,
            13 => Self::LocalitySet,
            _ => Self::Nothing,
        }
    }
}

/// A virtual service as the program sees it: immutable once published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Plan {
    /// The service's own key: proof that the plan belongs to the flow that found it.
    pub key: ServiceKey,
    /// Service index.
    pub service: u32,
    /// First member in [`super::MEMBERS`].
    pub members: u32,
    /// Number of members, quiesced ones included.
    pub member_count: u32,
    /// First slot in [`super::SLOTS`]. Where the best of all members is picked: root of their tournament tree, see
    /// [`super::TreeNode`]; 0: none.
    pub slots: u32,
    /// Number of slots.
    pub slot_count: u32,
    /// Persistence timeout in seconds; 0: not persistent.
    pub persistence: u32,
    /// Prefix length by which persistence groups clients.
    pub prefix: u8,
    /// [`Pick`].
    pub pick: u8,
    /// Bits of [`Plan`]: `ONE_PACKET` and the like.
    pub flags: u8,
    /// IPVS scheduler number for listings, see the daemon's scheduler names; [`Plan::BY_CALL_ID`] may be added.
    pub scheduler: u8,
    /// Number of the [`super::Filter`]; 0: none.
    pub filter: u32,
    /// Idle timeouts of its own in ticks, 0 for those of all services: established and closing TCP connections,
    /// and UDP.
    pub timeouts: [u32; 3],
}

impl Plan {
    /// The tournament tree of its members, if it has one.
    #[inline(always)]
    pub const fn tree(&self) -> Option<TreeShape> {
        if self.slots == 0 || !Pick::from_raw(self.pick).is_best() {
            return None;
        }
        Some(TreeShape {
            root: self.slots,
            members: self.member_count,
        })
    }

    /// Bit of `scheduler`: persistence goes by the Call-ID of SIP messages, not by the client.
    pub const BY_CALL_ID: u8 = 0x80;

    /// Number of the scheduler.
    pub const fn scheduler(&self) -> u8 {
        self.scheduler & !Self::BY_CALL_ID
    }

    /// Returns whether persistence goes by the Call-ID of SIP messages (UDP).
    #[inline(always)]
    pub const fn is_by_call_id(&self) -> bool {
        self.scheduler & Self::BY_CALL_ID != 0
    }

    /// Bit of `flags`: every packet is scheduled anew (UDP).
    pub const ONE_PACKET: u8 = 1;
    /// Bit of `flags`: the repeated SYN of a half-open connection goes to another server.
    pub const REDISPATCH: u8 = 2;
    /// Bit of `flags`: connections of its servers that are down or deleted are scheduled anew or reset. For the daemon
    /// only: it sets [`super::Server::flags`] by it.
    pub const RESCHEDULE: u8 = 4;
    /// Bit of `flags`: these connections are reset on both sides. For the daemon only.
    pub const RESET: u8 = 0x80;
    /// Bit of `flags`: scheduler flag 1 (`sh-fallback`, `mh-fallback`), as IPVS numbers it.
    pub const FLAG_1: u8 = 0x08;
    /// Bit of `flags`: scheduler flag 2 (`sh-port`, `mh-port`).
    pub const FLAG_2: u8 = 0x10;
    /// Bit of `flags`: scheduler flag 3.
    pub const FLAG_3: u8 = 0x20;
    /// Bit of `flags`: connections to other ports of the address may be data connections of FTP, which its
    /// templates send to the control connection's server (`ip_vs_service_find`).
    pub const FTP: u8 = 0x40;
}

/// The forwarding method: how packets reach a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Addresses and ports are rewritten, replies come back through the director.
    Nat = 0,
    /// The director itself is the real server.
    Local = 1,
    /// The packet travels whole inside another IP packet.
    Tunnel = 2,
    /// Only the Ethernet addresses change.
    Direct = 3,
}

impl Method {
    /// Total, by the low bits as IPVS numbers its methods.
    pub const fn from_raw(raw: u8) -> Self {
        match raw & 3 {
            0 => Self::Nat,
            1 => Self::Local,
            2 => Self::Tunnel,
            _ => Self::Direct,
        }
    }
}

const _: () = {
    assert!(size_of::<ServiceKey>() == 20);
    assert!(size_of::<Plan>() == 64);
};
