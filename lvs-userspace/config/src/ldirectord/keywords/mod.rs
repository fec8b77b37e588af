//! Every keyword of the file: parser and documents both come from this table.

mod check;
mod daemon;
mod mail;
mod service;

use std::collections::HashMap;
use std::sync::LazyLock;

/// A keyword.
#[derive(Debug)]
pub(super) struct Keyword {
    /// Its identity.
    pub(super) key: Key,
    /// As it is written.
    pub(super) name: &'static str,
    /// Its possible places.
    pub(super) scope: Scope,
    /// Its possible values.
    pub(super) kind: Kind,
    /// Its default, in words.
    pub(super) default: &'static str,
    /// A line of a file with it.
    pub(super) example: &'static str,
    /// Its meaning: one paragraph.
    pub(super) text: &'static str,
}

/// The possible places of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope(u8);

impl Scope {
    /// At the beginning of a line, for the daemon or as a default for all virtual services.
    pub(super) const GLOBAL: Self = Self(1);
    /// Indented, below a virtual service.
    pub(super) const VIRTUAL: Self = Self(2);
    /// As an option of a `check` line.
    pub(super) const CHECK: Self = Self(4);
    /// As an option at the end of a `real` line.
    pub(super) const REAL: Self = Self(8);
    /// Below a virtual service, with a default for all.
    pub(super) const BOTH: Self = Self::GLOBAL.and(Self::VIRTUAL);
    /// For the checks of a virtual service, of one check or of one real server.
    pub(super) const CHECKS: Self = Self::VIRTUAL.and(Self::CHECK).and(Self::REAL);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The places, for people.
    pub(super) fn places(self) -> String {
        [
            (Self::GLOBAL, "at the beginning of a line"),
            (Self::VIRTUAL, "indented, below a virtual service"),
            (Self::CHECK, "as an option of a check line"),
            (Self::REAL, "as an option of a real line"),
        ]
        .iter()
        .filter(|(scope, _)| self.has(*scope))
        .map(|(_, place)| *place)
        .collect::<Vec<_>>()
        .join(", or ")
    }
}

/// The possible values of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `yes` or `no`.
    Flag,
    /// `yes` or `no`, or the bare keyword for `yes`.
    BareFlag,
    /// A whole number.
    Number { least: u32, most: u32 },
    /// A time: seconds, or with a unit.
    Time { zero: bool },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Lower-case letters.
    Letters,
    /// A text, quoted or not.
    Text,
    /// A text that has to be quoted and not be empty.
    Quoted,
    /// A text that has to be quoted.
    QuotedOrEmpty,
    /// A text whose quotes are part of it.
    Literal,
    /// A regular expression that has to be quoted.
    Pattern,
    /// A regular expression that must not match.
    NegativePattern,
    /// An IP address.
    Address,
    /// `255.255.255.0`, or the length of an IPv6 prefix.
    Netmask,
    /// `connect`, `negotiate`, … or a number.
    CheckType,
    /// `200-299, 302`.
    Status,
    /// `script`, `agent:PORT`, …
    WeightBy,
    /// Phases of the daemon.
    Phases,
    /// Mail addresses with commas.
    Mailboxes,
    /// IPv4 servers with commas: `host[:port] [method]`.
    Fallback,
    /// IPv6 servers with commas.
    Fallback6,
    /// A real server.
    Real,
    /// A check with options.
    Check,
    /// The begin of a virtual service.
    Virtual,
}

/// A heading of the page about the file, and the keywords below it.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) keywords: &'static [Keyword],
}

/// All keywords.
pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Virtual services",
        keywords: service::VIRTUAL,
    },
    Group {
        title: "Real servers",
        keywords: service::REAL,
    },
    Group {
        title: "Weights",
        keywords: service::WEIGHTS,
    },
    Group {
        title: "When no server is left",
        keywords: service::FALLBACK,
    },
    Group {
        title: "When a server dies or comes back",
        keywords: service::CHANGES,
    },
    Group {
        title: "What is checked",
        keywords: check::WHAT,
    },
    Group {
        title: "What is asked and expected",
        keywords: check::DIALOGUE,
    },
    Group {
        title: "When is checked",
        keywords: check::RHYTHM,
    },
    Group {
        title: "Mail",
        keywords: mail::KEYWORDS,
    },
    Group {
        title: "The daemon",
        keywords: daemon::KEYWORDS,
    },
];

/// The keyword of this name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Keyword>> =
        LazyLock::new(|| all().map(|keyword| (keyword.name, keyword)).collect());
    BY_NAME.get(name).copied()
}

/// All of them, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Keyword> {
    GROUPS.iter().flat_map(|group| group.keywords)
}

/// Which keyword: what the parser stores a value by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    AgentInterval,
    AgentSend,
    AllBackups,
    Autoreload,
    Backup,
    CaFile,
    Callback,
    Check,
    CheckCommand,
    CheckCount,
    CheckInterval,
    CheckPath,
    CheckPort,
    CheckSource,
    CheckTimeout,
    CheckType,
    CleanStop,
    Comment,
    Database,
    DownInterval,
    EmailAlert,
    EmailAlertFreq,
    EmailAlertFrom,
    EmailAlertStatus,
    EventCommand,
    Execute,
    FailureCount,
    Fall,
    Fallback,
    Fallback6,
    FallbackCommand,
    FastInterval,
    Fork,
    HttpMethod,
    Hysteresis,
    Interval,
    Jitter,
    Load,
    LogFile,
    Login,
    MaintenanceDir,
    MonitorFile,
    NegotiateTimeout,
    Netmask,
    OnDown,
    Ops,
    Passwd,
    Persistent,
    Protocol,
    Quiescent,
    Quorum,
    QuorumDown,
    QuorumUp,
    ReaddQuiescent,
    Real,
    Real6,
    Receive,
    ReceiveNot,
    Record,
    Redirects,
    Redispatch,
    Request,
    Rise,
    Row,
    SchedFlags,
    Scheduler,
    Secret,
    Service,
    ServiceName,
    SlowStart,
    Smtp,
    Sni,
    StartTls,
    Status,
    Supervised,
    TimeoutConnect,
    TimeoutResponse,
    Verify,
    Virtual,
    Virtual6,
    VirtualHost,
    WeightBy,
}
