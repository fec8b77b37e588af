//! A keyword: its places, its possible values, its text in the documents.

/// A keyword.
#[derive(Debug)]
pub(in super::super) struct Keyword {
    /// Its identity.
    pub(in super::super) key: Key,
    /// As it is written.
    pub(in super::super) name: &'static str,
    /// Its possible places.
    pub(in super::super) scope: Scope,
    /// Its possible values.
    pub(in super::super) kind: Kind,
    /// Its default, in words.
    pub(in super::super) default: &'static str,
    /// A line of a file with it.
    pub(in super::super) example: &'static str,
    /// Its meaning: one paragraph.
    pub(in super::super) text: &'static str,
}

/// The possible places of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Scope(u8);

impl Scope {
    /// At the beginning of a line, for the daemon or as a default for all virtual services.
    pub(in super::super) const GLOBAL: Self = Self(1);
    /// Indented, below a virtual service.
    pub(in super::super) const VIRTUAL: Self = Self(2);
    /// As an option of a `check` line.
    pub(in super::super) const CHECK: Self = Self(4);
    /// As an option at the end of a `real` line.
    pub(in super::super) const REAL: Self = Self(8);
    /// Below a virtual service, with a default for all.
    pub(in super::super) const BOTH: Self = Self::GLOBAL.and(Self::VIRTUAL);
    /// For the checks of a virtual service, of one check or of one real server.
    pub(in super::super) const CHECKS: Self = Self::VIRTUAL.and(Self::CHECK).and(Self::REAL);

    pub(in super::super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(in super::super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The places, for people.
    pub(in super::super) fn places(self) -> String {
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
pub(in super::super) enum Kind {
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
    /// `no`, `auto`, or addresses and ports.
    Snat,
    /// Phases of the daemon.
    Phases,
    /// Mail addresses with commas.
    Mailboxes,
    /// IPv4 servers with commas: `host[:port] [method]`.
    Fallback,
    /// IPv6 servers with commas.
    Fallback6,
    /// Prefixes and files of them, with commas.
    Prefixes,
    /// A real server.
    Real,
    /// Real servers that are the addresses of a name.
    Servers,
    /// `address[:port]` of a name server.
    NameServer,
    /// A check with options.
    Check,
    /// The begin of a virtual service.
    Virtual,
}

/// Identity of a keyword, by which the parser stores its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Key {
    AgentInterval,
    AgentSend,
    AllBackups,
    Allow,
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
    CheckUser,
    CleanStop,
    Comment,
    Database,
    Deny,
    DownInterval,
    EmailAlert,
    EmailAlertFreq,
    EmailAlertFrom,
    EmailAlertStatus,
    EventCommand,
    Execute,
    FailureCount,
    FailTimeout,
    Fall,
    Fallback,
    Fallback6,
    FallbackCommand,
    FastInterval,
    Fork,
    HangTimeout,
    HttpMethod,
    Hysteresis,
    Interval,
    Jitter,
    LimitNew,
    LimitOpen,
    LimitPackets,
    LimitPrefix,
    Load,
    LogFile,
    Login,
    MaintenanceDir,
    MaxBody,
    MaxFails,
    MaxHead,
    MonitorFile,
    NameServer,
    NegotiateTimeout,
    Netmask,
    Observe,
    OnDown,
    OnError,
    Ops,
    Passwd,
    PersistenceEngine,
    Persistent,
    Preset,
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
    Servers,
    Service,
    ServiceName,
    SlowStart,
    Smtp,
    Snat,
    Sni,
    StartTls,
    Status,
    Supervised,
    TcpFinTimeout,
    TcpTimeout,
    TimeoutConnect,
    TimeoutResponse,
    UdpTimeout,
    Verify,
    Virtual,
    Virtual6,
    VirtualHost,
    WeightBy,
}
