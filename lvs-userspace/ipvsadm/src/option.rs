//! ipvsadm's options as data.

use lvs_api::model::Method;

/// Commands of which exactly one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandName {
    AddService,
    EditService,
    DeleteService,
    Flush,
    List,
    Zero,
    AddServer,
    EditServer,
    DeleteServer,
    Set,
    Restore,
    Save,
    StartDaemon,
    StopDaemon,
    Help,
    Version,
    Verdicts,
    Status,
    Mark,
    ListMarks,
    ImportMarks,
    Sysctl,
    Proc,
}

impl CommandName {
    /// As error messages call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AddService => "add-service",
            Self::EditService => "edit-service",
            Self::DeleteService => "delete-service",
            Self::Flush => "flush",
            Self::List => "list",
            Self::Zero => "zero",
            Self::AddServer => "add-server",
            Self::EditServer => "edit-server",
            Self::DeleteServer => "delete-server",
            Self::Set => "set",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Help => "help",
            Self::Version => "version",
            Self::Verdicts => "verdicts",
            Self::Status => "status",
            Self::Mark => "mark",
            Self::ListMarks => "list-marks",
            Self::ImportMarks => "import-marks",
            Self::Sysctl => "sysctl",
            Self::Proc => "proc",
        }
    }

    /// Options that the command requires, and those that it allows.
    pub(super) const fn options(self) -> [&'static [OptionName]; 2] {
        use OptionName as O;
        let (required, allowed): (&[O], &[O]) = match self {
            Self::AddService | Self::EditService => (
                &[O::Service],
                &[
                    O::Scheduler,
                    O::Persistent,
                    O::Netmask,
                    O::OnePacket,
                    O::Engine,
                    O::SchedulerFlags,
                    O::Redispatch,
                    O::OnDown,
                    O::IdleTimeout,
                ],
            ),
            Self::DeleteService => (&[O::Service], &[]),
            Self::Mark => (
                &[],
                &[
                    O::Service,
                    O::Protocol,
                    O::Destination,
                    O::DestinationPort,
                    O::Source,
                    O::SourcePort,
                    O::InInterface,
                ],
            ),
            Self::List => (
                &[],
                &[
                    O::Numeric,
                    O::Connection,
                    O::Service,
                    O::Timeout,
                    O::Daemon,
                    O::Stats,
                    O::Rate,
                    O::Thresholds,
                    O::PersistentConnections,
                    O::NoSort,
                    O::SyncId,
                    O::Exact,
                    O::TunnelInfo,
                ],
            ),
            Self::Zero => (&[], &[O::Service]),
            Self::AddServer | Self::EditServer => (
                &[O::Service, O::Server],
                &[
                    O::Method,
                    O::Weight,
                    O::UpperThreshold,
                    O::LowerThreshold,
                    O::TunnelType,
                    O::TunnelPort,
                    O::TunnelNoChecksum,
                    O::TunnelChecksum,
                    O::TunnelRemoteChecksum,
                    O::Snat,
                ],
            ),
            Self::DeleteServer => (&[O::Service, O::Server], &[]),
            Self::Save => (&[], &[O::Numeric]),
            Self::StartDaemon => (
                &[],
                &[
                    O::MulticastInterface,
                    O::SyncId,
                    O::MulticastGroup,
                    O::MulticastPort,
                    O::MulticastTtl,
                    O::SyncMaxLength,
                ],
            ),
            Self::StopDaemon => (&[], &[O::SyncId]),
            Self::Verdicts => (&[], &[O::Exact]),
            Self::Restore => (&[], &[O::Atomic]),
            Self::Flush
            | Self::Set
            | Self::Help
            | Self::Version
            | Self::Status
            | Self::ListMarks
            | Self::ImportMarks
            | Self::Sysctl
            | Self::Proc => (&[], &[]),
        };
        [required, allowed]
    }

    /// The command's rule for an option.
    pub(super) fn rule(self, option: OptionName) -> Rule {
        let [required, allowed] = self.options();
        if required.contains(&option) {
            Rule::Required
        } else if allowed.contains(&option) {
            Rule::Optional
        } else {
            Rule::Illegal
        }
    }
}

/// Rule of a command for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Required,
    Optional,
    Illegal,
}

macro_rules! option_names {
    ($($name:ident $text:literal,)+) => {
        /// Options as error messages call them; switches that exclude each other share a name.
        /// When several are wrong with a command, the error is about the first in this order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum OptionName { $($name,)+ }

        impl OptionName {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

option_names! {
    Numeric "numeric",
    Connection "connection",
    Service "service-address",
    Scheduler "scheduler",
    Persistent "persistent",
    Netmask "netmask",
    Server "real-server",
    Method "forwarding-method",
    Weight "weight",
    UpperThreshold "u-threshold",
    LowerThreshold "l-threshold",
    MulticastInterface "mcast-interface",
    Timeout "timeout",
    Daemon "daemon",
    Stats "stats",
    Rate "rate",
    Thresholds "thresholds",
    PersistentConnections "persistent-conn",
    NoSort "nosort",
    SyncId "syncid",
    Exact "exact",
    OnePacket "ops",
    Engine "pe",
    SchedulerFlags "sched-flags",
    MulticastGroup "mcast-group",
    MulticastPort "mcast-port",
    MulticastTtl "mcast-ttl",
    SyncMaxLength "sync-maxlen",
    TunnelInfo "tun-info",
    TunnelType "tun-type",
    TunnelPort "tun-port",
    TunnelNoChecksum "tun-nocsum",
    TunnelChecksum "tun-csum",
    TunnelRemoteChecksum "tun-remcsum",
    Protocol "protocol",
    Destination "destination",
    DestinationPort "dport",
    Source "source",
    SourcePort "sport",
    InInterface "in-interface",
    Snat "snat",
    Atomic "atomic",
    Redispatch "redispatch",
    OnDown "ondown",
    IdleTimeout "idle-timeout",
}

/// Value of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Required,
    /// Present unless the next word begins with a dash.
    Optional,
}

/// Meaning of a switch on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Command(CommandName),
    Tcp,
    Udp,
    Sctp,
    Mark,
    Forward(Method),
    Ipv6,
    /// Accepted and without effect: sorting is the default.
    Sort,
    /// Not in ipvsadm: path of the control socket.
    Socket,
    /// An option that no other switch shares.
    Plain(OptionName),
}

impl Switch {
    /// The option that it sets; none: no rule applies to it.
    pub(super) fn option(self) -> Option<OptionName> {
        match self {
            Self::Tcp | Self::Udp | Self::Sctp | Self::Mark => Some(OptionName::Service),
            Self::Forward(_) => Some(OptionName::Method),
            Self::Plain(name) => Some(name),
            Self::Command(_) | Self::Ipv6 | Self::Sort | Self::Socket => None,
        }
    }
}

/// Spelling of a switch.
pub(super) struct Spelling {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) value: Value,
    pub(super) switch: Switch,
}

/// A switch as a shell completes it.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Its name behind two dashes.
    pub long: &'static str,
    /// Its letter behind one dash.
    pub short: Option<char>,
    /// True if a value follows, or may.
    pub takes_value: bool,
}

/// Every switch of the command line; one with two letters twice.
pub fn completions() -> impl Iterator<Item = Completion> {
    SPELLINGS.iter().map(|spelling| Completion {
        long: spelling.long,
        short: spelling.short,
        takes_value: spelling.value != Value::None,
    })
}

/// The switch with this long name.
pub(super) fn long(name: &str) -> Option<&'static Spelling> {
    SPELLINGS.iter().find(|spelling| spelling.long == name)
}

/// The switch with this letter.
pub(super) fn short(letter: char) -> Option<&'static Spelling> {
    SPELLINGS
        .iter()
        .find(|spelling| spelling.short == Some(letter))
}

const fn spelling(
    long: &'static str,
    short: Option<char>,
    value: Value,
    switch: Switch,
) -> Spelling {
    Spelling {
        long,
        short,
        value,
        switch,
    }
}

const fn command(long: &'static str, short: Option<char>, name: CommandName) -> Spelling {
    spelling(long, short, Value::None, Switch::Command(name))
}

const fn plain(
    long: &'static str,
    short: Option<char>,
    value: Value,
    name: OptionName,
) -> Spelling {
    spelling(long, short, value, Switch::Plain(name))
}

const SPELLINGS: &[Spelling] = {
    use OptionName as O;
    use Value::{None as No, Optional, Required as Yes};
    &[
        command("add-service", Some('A'), CommandName::AddService),
        command("edit-service", Some('E'), CommandName::EditService),
        command("delete-service", Some('D'), CommandName::DeleteService),
        command("clear", Some('C'), CommandName::Flush),
        command("list", Some('L'), CommandName::List),
        command("list", Some('l'), CommandName::List),
        command("zero", Some('Z'), CommandName::Zero),
        command("add-server", Some('a'), CommandName::AddServer),
        command("edit-server", Some('e'), CommandName::EditServer),
        command("delete-server", Some('d'), CommandName::DeleteServer),
        command("set", None, CommandName::Set),
        command("restore", Some('R'), CommandName::Restore),
        command("save", Some('S'), CommandName::Save),
        spelling(
            "start-daemon",
            None,
            Yes,
            Switch::Command(CommandName::StartDaemon),
        ),
        spelling(
            "stop-daemon",
            None,
            Yes,
            Switch::Command(CommandName::StopDaemon),
        ),
        command("help", Some('h'), CommandName::Help),
        command("version", Some('v'), CommandName::Version),
        command("verdicts", None, CommandName::Verdicts),
        command("status", None, CommandName::Status),
        spelling("mark", None, Yes, Switch::Command(CommandName::Mark)),
        command("list-marks", None, CommandName::ListMarks),
        command("import-marks", None, CommandName::ImportMarks),
        spelling(
            "sysctl",
            None,
            Optional,
            Switch::Command(CommandName::Sysctl),
        ),
        spelling("proc", None, Yes, Switch::Command(CommandName::Proc)),
        spelling("tcp-service", Some('t'), Yes, Switch::Tcp),
        spelling("udp-service", Some('u'), Yes, Switch::Udp),
        spelling("sctp-service", None, Yes, Switch::Sctp),
        spelling("fwmark-service", Some('f'), Yes, Switch::Mark),
        spelling("ipv6", Some('6'), No, Switch::Ipv6),
        plain("scheduler", Some('s'), Yes, O::Scheduler),
        plain("persistent", Some('p'), Optional, O::Persistent),
        plain("netmask", Some('M'), Yes, O::Netmask),
        plain("ops", Some('o'), No, O::OnePacket),
        plain("pe", None, Yes, O::Engine),
        plain("sched-flags", Some('b'), Yes, O::SchedulerFlags),
        plain("real-server", Some('r'), Yes, O::Server),
        spelling("gatewaying", Some('g'), No, Switch::Forward(Method::Direct)),
        spelling("ipip", Some('i'), No, Switch::Forward(Method::Tunnel)),
        spelling("masquerading", Some('m'), No, Switch::Forward(Method::Nat)),
        plain("weight", Some('w'), Yes, O::Weight),
        plain("u-threshold", Some('x'), Yes, O::UpperThreshold),
        plain("l-threshold", Some('y'), Yes, O::LowerThreshold),
        plain("tun-type", None, Yes, O::TunnelType),
        plain("tun-port", None, Yes, O::TunnelPort),
        plain("tun-nocsum", None, No, O::TunnelNoChecksum),
        plain("tun-csum", None, No, O::TunnelChecksum),
        plain("tun-remcsum", None, No, O::TunnelRemoteChecksum),
        plain("protocol", None, Yes, O::Protocol),
        plain("destination", None, Yes, O::Destination),
        plain("dport", None, Yes, O::DestinationPort),
        plain("destination-port", None, Yes, O::DestinationPort),
        plain("source", None, Yes, O::Source),
        plain("sport", None, Yes, O::SourcePort),
        plain("source-port", None, Yes, O::SourcePort),
        plain("in-interface", None, Yes, O::InInterface),
        plain("snat", None, Yes, O::Snat),
        plain("atomic", None, No, O::Atomic),
        plain("redispatch", None, Yes, O::Redispatch),
        plain("ondown", None, Yes, O::OnDown),
        plain("idle-timeout", None, Yes, O::IdleTimeout),
        plain("numeric", Some('n'), No, O::Numeric),
        plain("connection", Some('c'), No, O::Connection),
        plain("timeout", None, No, O::Timeout),
        plain("daemon", None, No, O::Daemon),
        plain("stats", None, No, O::Stats),
        plain("rate", None, No, O::Rate),
        plain("thresholds", None, No, O::Thresholds),
        plain("persistent-conn", None, No, O::PersistentConnections),
        plain("tun-info", None, No, O::TunnelInfo),
        plain("nosort", None, No, O::NoSort),
        spelling("sort", None, No, Switch::Sort),
        plain("exact", Some('X'), No, O::Exact),
        plain("mcast-interface", None, Yes, O::MulticastInterface),
        plain("syncid", None, Yes, O::SyncId),
        plain("mcast-group", None, Yes, O::MulticastGroup),
        plain("mcast-port", None, Yes, O::MulticastPort),
        plain("mcast-ttl", None, Yes, O::MulticastTtl),
        plain("sync-maxlen", None, Yes, O::SyncMaxLength),
        spelling("socket", None, Yes, Switch::Socket),
    ]
};
