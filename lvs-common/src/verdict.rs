//! The end of every packet: what becomes of it, and the reason that is counted.

/// The kernel's action on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// On to the kernel's own stack.
    Pass,
    /// Gone.
    Drop,
    /// Out of the interface it came by.
    Transmit,
    /// Out of another interface.
    Redirect {
        /// Its index.
        interface: u32,
    },
    /// Out of another interface, to the neighbour that the kernel's route for its destination leads to: the kernel
    /// writes the Ethernet addresses, and keeps the packet while it asks for them. Of socket buffers only.
    Neighbour {
        /// Its index.
        interface: u32,
    },
}

use core::num::NonZeroU64;

/// A packet's fate and the reason for it, in one register: the reason in the lowest byte, the action
/// in the next, the interface in the upper half. Never zero, so that an `Option` of it is one
/// register too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verdict(NonZeroU64);

const NEIGHBOUR: u64 = 3 << 8;
const PASS: u64 = 4 << 8;
const DROP: u64 = 5 << 8;
const TRANSMIT: u64 = 6 << 8;
const REDIRECT: u64 = 7 << 8;
/// The bit that all ways of sending have in common.
const FORWARD: u64 = 2 << 8;

impl Verdict {
    #[inline(always)]
    const fn new(fate: u64, reason: Reason) -> Self {
        match NonZeroU64::new(fate | reason as u64) {
            Some(verdict) => Self(verdict),
            // No action is zero.
            None => Self(NonZeroU64::MAX),
        }
    }

    /// To the kernel.
    #[inline(always)]
    pub const fn pass(reason: Reason) -> Self {
        Self::new(PASS, reason)
    }

    /// Dropped.
    #[inline(always)]
    pub const fn drop(reason: Reason) -> Self {
        Self::new(DROP, reason)
    }

    /// Back out of the interface it came by.
    #[inline(always)]
    pub const fn transmit(reason: Reason) -> Self {
        Self::new(TRANSMIT, reason)
    }

    /// Out of another interface.
    #[inline(always)]
    pub const fn redirect(interface: u32, reason: Reason) -> Self {
        Self::new((interface as u64) << 32 | REDIRECT, reason)
    }

    /// Out of another interface by the kernel's neighbour table, see [`Action::Neighbour`].
    #[inline(always)]
    pub const fn neighbour(interface: u32, reason: Reason) -> Self {
        Self::new((interface as u64) << 32 | NEIGHBOUR, reason)
    }

    /// None yet: the packet is to be answered with [`crate::forward::Forward::answer`]. Nothing is counted so.
    pub(crate) const ANSWER: Self = Self(NonZeroU64::MIN);

    /// None yet: a later fragment that came before its first one.
    pub(crate) const HOLD: Self = Self::pass(Reason::FragmentHeld);

    /// Back out of the interface it came by, for the reason of this number.
    #[inline(always)]
    pub(crate) const fn transmit_because(number: u8) -> Self {
        match NonZeroU64::new(TRANSMIT | number as u64) {
            Some(verdict) => Self(verdict),
            None => Self(NonZeroU64::MAX),
        }
    }

    /// The action.
    #[inline(always)]
    pub const fn action(self) -> Action {
        match self.0.get() & 0xff00 {
            PASS => Action::Pass,
            TRANSMIT => Action::Transmit,
            REDIRECT => Action::Redirect {
                interface: (self.0.get() >> 32) as u32,
            },
            NEIGHBOUR => Action::Neighbour {
                interface: (self.0.get() >> 32) as u32,
            },
            _ => Action::Drop,
        }
    }

    /// Index of the counter.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
    pub const fn counter(self) -> u32 {
        self.0.get() as u32 & 0xff
    }

    /// Returns whether the packet is to be counted; if not, the program that gets it next counts it.
    #[inline(always)]
    pub const fn is_counted(self) -> bool {
        self.0.get() & 0xff != Reason::LeftToTc as u64
    }

    /// The reason.
    pub fn reason(self) -> Option<Reason> {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
        Reason::from_number(self.0.get() as u8)
    }

    /// As a number, which is at least 256.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// From the number that it was.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// The same action for one of the next reasons, by how many numbers further it is.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn later(self, further: u32) -> Self {
        let bits = self.0.get().wrapping_add(further as u64);
        match NonZeroU64::new(bits) {
            Some(bits) => Self(bits),
            None => self,
        }
    }

    /// The same action for another reason.
    #[inline(always)]
    #[must_use]
    pub const fn because(self, reason: Reason) -> Self {
        Self::new(self.0.get() & !0xff, reason)
    }

    /// Returns whether the packet goes on to somebody else.
    #[inline(always)]
    pub const fn is_forwarded(self) -> bool {
        self.0.get() & FORWARD != 0
    }
}

impl core::fmt::Debug for Verdict {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            formatter,
            "{:?} because of {:?}",
            self.action(),
            self.reason()
        )
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal, $text:literal;)+) => {
        /// The reason of a verdict. The number is its index in the counter array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Reason {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Short name, as `lvsadm --verdicts` lists it: the action, a dash, the cause.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// One line for people.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Forwarded by direct routing.
    Direct = 0, "forward-direct", "forwarded to a real server by direct routing";
    /// Forwarded with destination rewritten.
    Nat = 1, "forward-nat", "forwarded to a real server, destination rewritten";
    /// A reply, source rewritten.
    NatReply = 2, "forward-nat-reply", "a real server's reply, sent to its client with the virtual address";
    /// Forwarded inside a tunnel.
    Tunnel = 3, "forward-tunnel", "forwarded to a real server inside another IP packet";
    /// The director itself is the real server.
    Local = 4, "pass-local-server", "handed to the director's own stack: it is the real server";
    /// Forwarded without a connection entry.
    Stateless = 5, "forward-stateless", "forwarded by hash alone: the connection table had no room";
    /// ICMP error forwarded to the real server.
    IcmpToServer = 6, "forward-icmp", "an ICMP error about a connection, forwarded to its real server";
    /// ICMP error of a real server forwarded to the client.
    IcmpToClient = 7, "forward-icmp-reply", "an ICMP error about a connection, forwarded to its client";
    /// Answered: time exceeded.
    TimeExceeded = 8, "answer-ttl", "answered with ICMP time exceeded: TTL or hop limit used up";
    /// Answered: fragmentation needed or packet too big.
    TooBig = 9, "answer-too-big", "answered with ICMP fragmentation needed or packet too big";
    /// Answered: port unreachable.
    NoServer = 10, "answer-no-server", "answered with ICMP port unreachable: the service has no usable real server";
    /// Neither IPv4 nor IPv6.
    NotIp = 11, "pass-not-ip", "neither IPv4 nor IPv6: ARP and the like";
    /// An address the director has nothing to do with.
    NotOurs = 12, "pass-not-ours", "no virtual service and no NAT real server has these addresses";
    /// A protocol that is not balanced.
    OtherProtocol = 13, "pass-protocol", "not TCP, UDP, SCTP or an ICMP error";
    /// No service on that port.
    NoService = 14, "pass-no-service", "no virtual service on that address, protocol and port";
    /// Belongs to no connection and cannot start one.
    NoConnection = 15, "pass-no-connection", "belongs to no connection and cannot start one";
    /// A later fragment whose first one was not seen.
    StrayFragment = 16, "pass-stray-fragment",
        "a later fragment whose first one was not seen and did not come within a moment";
    /// ICMP that is not an error about a connection.
    IcmpOther = 17, "pass-icmp", "ICMP that is no error about a known connection: echo and the like";
    /// Header cut short.
    Truncated = 18, "drop-truncated", "ends before its own headers do";
    /// A length field that cannot be true.
    BadLength = 19, "drop-length", "a length in its headers that cannot be true";
    /// Too many IPv6 extension headers.
    HeaderChain = 20, "drop-header-chain", "more IPv6 extension headers than the director follows";
    /// A fragment that overlaps the transport header.
    FragmentOverlap = 21, "drop-fragment", "a fragment too small to hold, or that overlaps, the transport header";
    /// The connection's server was deleted.
    ServerDeleted = 22, "drop-server-deleted", "its connection's real server was deleted";
    /// No MAC address for the server or its router.
    Unresolved = 23, "drop-unresolved",
        "the real server's (or its router's) Ethernet address is not known yet";
    /// No room in the connection table.
    TableFull = 24, "drop-table-full",
        "no room in the connection table, or in its service's share of it, and the method needs an entry";
    /// The frame could not be grown or shrunk.
    NoRoom = 25, "drop-no-room", "the driver left no room for another header";
    /// An answer was due but too many were sent.
    AnswerLimited = 26, "drop-answer-limited", "an ICMP answer was due, but the limit per second was reached";
    /// Must not be answered.
    Unanswerable = 27, "drop-unanswerable", "too big or its time is up, and no ICMP answer may be sent about it";
    /// Real servers' address family does not fit.
    FamilyMismatch = 28, "drop-family", "the forwarding method cannot change between IPv4 and IPv6";
    /// NAT of a protocol that this packet cannot take.
    NatImpossible = 29, "drop-nat-impossible", "a fragment whose checksum cannot be rewritten";
    /// Scheduled anew to another server.
    Rescheduled = 30, "forward-rescheduled",
        "forwarded to another real server: the one before is down or did not answer";
    /// Answered: reset.
    Reset = 31, "answer-reset", "answered with a TCP reset: its connection's real server is down";
    /// The connection's server is down.
    ServerDown = 32, "drop-server-down", "its connection's real server is down, and it cannot go to another one";
    /// Sent to everybody by a switch that does not know better.
    OtherHost = 33, "pass-other-host",
        "for another machine's Ethernet address, or of a VLAN that the interface has no device of";
    /// An answer to a probe of the director's own.
    Probe = 34, "forward-probe", "a real server's answer to a probe by way of the service, handed to the probe";
    /// A probe of the director's own came back to it.
    ProbeReturned = 35, "drop-probe",
        "the director's own probe, sent back by a real server that lacks the virtual address";
    /// From an address that no host on a wire has.
    Martian = 36, "drop-martian",
        "of no connection, and from an address that no host sends from: multicast, broadcast, loopback";
    /// Left to the TC program.
    LeftToTc = 37, "pass-to-tc", "left to the TC program of the same interface, which counts it";
    /// From an address of the director.
    OwnSource = 38, "drop-own-source",
        "from an address of the director's own, which others pretend to have (accept_local lets it in)";
    /// The reverse path is not what the interface asks for.
    RpFilter = 39, "drop-rp-filter",
        "no route leads back to its source, or not by the interface it came by: rp_filter refuses it";
    /// Changed on its way.
    BadChecksum = 40, "drop-checksum", "the checksum of its IPv4 header is wrong";
    /// In a frame for several hosts.
    GroupFrame = 41, "pass-group-frame",
        "in a multicast or broadcast frame: not balanced, as IPVS leaves such packets alone";
    /// No way to a client (NAT).
    NoRouteToClient = 42, "drop-no-route",
        "for NAT, and the kernel's routes do not lead to the client, or only inside other packets (encap)";
    /// The next hop to a client (NAT) has no known MAC address.
    ClientUnresolved = 43, "drop-client-unresolved",
        "a reply, and the Ethernet address of the client (or its router) is being asked for";
    /// The kernel names no way to a client (NAT).
    ForwardingOff = 44, "drop-forwarding-off",
        "for NAT, and the kernel names no route to the client: forwarding is off (net.ipv4.ip_forward, IPv6 likewise)";
    /// No source address and port towards the real server is free.
    NoSource = 45, "drop-no-source",
        "no free source port towards the real server: all that were tried are in use (full NAT, or a port in use \
            twice)";
    /// Answered: host unreachable.
    ServerUnreachable = 46, "answer-unreachable",
        "answered with ICMP host unreachable: there is no route to the real server, or it does not answer";
    /// A later fragment that came before its first one: the daemon sends it through again.
    FragmentHeld = 47, "hold-fragment",
        "a later fragment that came before its first one: held, and counted once more when it goes on";
    /// Too big, but may be fragmented.
    TooBigHeld = 48, "hold-too-big",
        "larger than the way to its real server, and may be fragmented: each fragment is counted once more";
    /// The lists of its service's filter do not admit its address.
    Denied = 49, "drop-denied", "of no known connection, and from an address that its service's filter does not admit";
    /// Its client begins too many connections.
    ClientOpening = 50, "drop-client-new", "begins a connection, but its client reached the service's limit per second";
    /// Its client has too many connections.
    ClientOpen = 51, "drop-client-open", "begins a connection, but its client has as many open as the service allows";
    /// Its client sends too many packets.
    ClientSending = 52, "drop-client-packets", "its client reached the service's limit of packets per second";
    /// Forwarded or answered by the program, and dropped by the kernel behind it. Each stands for a packet that has
    /// another verdict, too.
    NotSent = 53, "not-sent",
        "forwarded or answered, but not sent: the kernel dropped the frame (see --status)";
    /// Turned into a reset of the server's side.
    ServerReset = 54, "forward-reset",
        "forwarded as a reset: its real server is down, and may be alive; counted once more when its client is \
            answered";
    /// A server's refusal that its client is not to hear.
    Refused = 55, "drop-refused",
        "a real server refused a connection: the client's next SYN goes to another one";
    /// No Call-ID, for a service that goes by it.
    NoCallId = 56, "drop-no-call-id",
        "begins a connection with a service of persistence engine sip, and has no valid Call-ID";
    /// IPv4 options that the kernel refuses.
    BadOptions = 57, "drop-options", "of no known connection, and has a source route or an IPv4 option that is not whole";
}

impl Reason {
    /// Returns whether packets that end so leave by an interface: they are among those that [`Self::NotSent`] may
    /// count.
    pub fn leaves(self) -> bool {
        let name = self.name();
        name.starts_with("forward-") || name.starts_with("answer-")
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_what_it_was_made_of() {
        let interface = 7;
        let reason = Reason::NatReply;
        for (verdict, action, forwarded) in [
            (Verdict::pass(reason), Action::Pass, false),
            (Verdict::drop(reason), Action::Drop, false),
            (Verdict::transmit(reason), Action::Transmit, true),
            (
                Verdict::redirect(interface, reason),
                Action::Redirect { interface },
                true,
            ),
            (
                Verdict::neighbour(interface, reason),
                Action::Neighbour { interface },
                true,
            ),
        ] {
            assert_eq!(verdict.action(), action);
            assert_eq!(verdict.is_forwarded(), forwarded);
            assert_eq!(verdict.reason(), Some(reason));
            assert_eq!(Verdict::from_bits(verdict.to_bits()), Some(verdict));
        }
    }

    #[test]
    fn every_reason_stands_at_its_own_number_and_explains_itself() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(index, *reason as usize);
            assert!(reason.explanation().len() > 20 && !reason.explanation().contains('\n'));
        }
        assert!(Reason::ALL.len() <= crate::abi::MAX_REASONS as usize);
    }
}
