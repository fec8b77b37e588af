//! The SCTP state tables of IPVS (`ip_vs_proto_sctp.c: sctp_states`).

/// IPVS's view of an SCTP association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are IPVS's own")]
pub enum State {
    None = 0,
    Init1 = 1,
    Init = 2,
    CookieSent = 3,
    CookieReplied = 4,
    CookieWait = 5,
    Cookie = 6,
    CookieEchoed = 7,
    Established = 8,
    ShutdownSent = 9,
    ShutdownReceived = 10,
    ShutdownAckSent = 11,
    Rejected = 12,
    Closed = 13,
}

/// Seconds without a packet after which an association in each state is forgotten.
pub const TIMEOUTS: [u32; 16] = [2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61, 0, 0];

impl State {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Init1,
        Self::Init,
        Self::CookieSent,
        Self::CookieReplied,
        Self::CookieWait,
        Self::Cookie,
        Self::CookieEchoed,
        Self::Established,
        Self::ShutdownSent,
        Self::ShutdownReceived,
        Self::ShutdownAckSent,
        Self::Rejected,
        Self::Closed,
    ];

    /// Total: what no writer writes is [`State::None`].
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Init1,
            2 => Self::Init,
            3 => Self::CookieSent,
            4 => Self::CookieReplied,
            5 => Self::CookieWait,
            6 => Self::Cookie,
            7 => Self::CookieEchoed,
            8 => Self::Established,
            9 => Self::ShutdownSent,
            10 => Self::ShutdownReceived,
            11 => Self::ShutdownAckSent,
            12 => Self::Rejected,
            13 => Self::Closed,
            _ => Self::None,
        }
    }

    /// As `ipvsadm -Lc` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Init1 => "INIT1",
            Self::Init => "INIT",
            Self::CookieSent => "C-SENT",
            Self::CookieReplied => "C-REPLIED",
            Self::CookieWait => "C-WAIT",
            Self::Cookie => "COOKIE",
            Self::CookieEchoed => "C-ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "S-SENT",
            Self::ShutdownReceived => "S-RECEIVED",
            Self::ShutdownAckSent => "S-ACK-SENT",
            Self::Rejected => "REJECTED",
            Self::Closed => "CLOSED",
        }
    }

    /// Counted as active.
    pub const fn active(self) -> bool {
        matches!(self, Self::Established)
    }
}
