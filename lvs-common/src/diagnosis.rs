//! The program's own log: what it finds that should not be so, and which verdicts are worth a line at which level.

use crate::verdict::{Action, Reason, Verdict};

macro_rules! findings {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)+) => {
        /// Something that should not be so.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Finding {
            $($(#[$doc])* $name = $number,)+
        }

        impl Finding {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// One line for people; a number may follow.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

findings! {
    /// The number is an index of a program of the stages.
    StageMissing = 1, "the program of a stage is missing, or tail calls are exhausted: index";
    /// The number is that of bytes.
    NotHeld = 2, "the daemon has no room for a held frame, or is behind: bytes";
    /// The number is the place of the connection's entry.
    EventLost = 3, "the daemon did not fetch events of connections in time: entry";
    /// The number is the place of the connection's entry.
    RepliesGone = 4, "the entry of a connection's replies is gone, the connection ends: entry";
    /// The number is the index of its virtual service.
    WinnerGone = 5, "another CPU began the same connection, which was gone at once: service";
    /// The number is the index of its virtual service.
    NoRoomForAddress = 6, "FTP: a reply to PASV has no text to make room for the virtual address, it stays: service";
    /// The number is the index of its virtual service.
    NotAnnounced = 7, "FTP: the table has no room for a data connection that is announced: service";
}

impl Finding {
    /// The finding with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        let found = |it: &&Self| **it as u32 == number;
        Self::ALL.iter().find(found).copied()
    }

    /// Returns whether it cannot happen as long as the program is loaded as it should be.
    pub const fn is_error(self) -> bool {
        matches!(self, Self::StageMissing)
    }
}

/// A level of the log, as aya-log numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A fault of the loader or of the programs.
    Error = 1,
    /// Missing room, routes, neighbours or real servers: the operator has to act.
    Warn = 2,
    /// Refused packets: malformed ones, denied or limited clients.
    Info = 3,
    /// Packets that pass to the kernel.
    Debug = 4,
    /// Forwarded packets.
    Trace = 5,
}

const fn set(mut reasons: &[Reason]) -> u64 {
    let mut bits = 0;
    while let [first, rest @ ..] = reasons {
        bits |= 1 << *first as u64;
        reasons = rest;
    }
    bits
}

/// Verdicts that say that something is missing.
const MISSING: u64 = set(&[
    Reason::NoServer,
    Reason::Unresolved,
    Reason::TableFull,
    Reason::NoRoom,
    Reason::FamilyMismatch,
    Reason::NatImpossible,
    Reason::NoRouteToClient,
    Reason::ClientUnresolved,
    Reason::ForwardingOff,
    Reason::NoSource,
    Reason::ServerUnreachable,
]);

/// Verdicts of packets that are answered instead of forwarded, beside those.
const ANSWERED: u64 = set(&[Reason::TimeExceeded, Reason::TooBig, Reason::Reset]);

/// The level of a packet's line, by its finding (0: none) and its verdict.
#[inline(always)]
pub const fn level(finding: u32, verdict: Verdict) -> Level {
    if finding != 0 {
        return if finding == Finding::StageMissing as u32 {
            Level::Error
        } else {
            Level::Warn
        };
    }
    let bit = 1 << (verdict.counter() & 63);
    if bit & MISSING != 0 {
        return Level::Warn;
    }
    if bit & ANSWERED != 0 {
        return Level::Info;
    }
    match verdict.action() {
        Action::Drop => Level::Info,
        Action::Pass => Level::Debug,
        Action::Transmit | Action::Redirect { .. } | Action::Neighbour { .. } => Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_by_what_has_to_be_done() {
        let drop = Verdict::drop;
        assert_eq!(level(1, drop(Reason::Martian)), Level::Error);
        assert_eq!(level(3, Verdict::transmit(Reason::Nat)), Level::Warn);
        assert_eq!(level(0, drop(Reason::TableFull)), Level::Warn);
        assert_eq!(level(0, Verdict::transmit(Reason::NoServer)), Level::Warn);
        assert_eq!(level(0, Verdict::transmit(Reason::TooBig)), Level::Info);
        assert_eq!(level(0, drop(Reason::Martian)), Level::Info);
        assert_eq!(level(0, Verdict::pass(Reason::NoService)), Level::Debug);
        assert_eq!(level(0, Verdict::transmit(Reason::Nat)), Level::Trace);
        for finding in Finding::ALL {
            assert_eq!(Finding::from_number(*finding as u32), Some(*finding));
            let level = level(*finding as u32, drop(Reason::Martian));
            assert_eq!(level == Level::Error, finding.is_error());
        }
        assert_eq!(Finding::from_number(0), None);
    }
}
