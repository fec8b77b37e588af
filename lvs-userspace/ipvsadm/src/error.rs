//! Errors of command lines, in ipvsadm's words.

use lvs_api::sysctl::SysctlError;
use thiserror::Error;

use super::proc_file::ProcFile;

/// A wrong command line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum UsageError {
    #[error("Try `{0} -h' or '{0} --help' for more information.")]
    NoCommand(String),
    #[error("{0}: unknown option")]
    UnknownOption(String),
    #[error("{0}: missing argument")]
    MissingValue(String),
    #[error("{0}: option does not take an argument")]
    NeedlessValue(String),
    #[error("invalid option `{0}'")]
    SecondCommand(String),
    #[error("unexpected argument {0}")]
    UnexpectedWord(String),
    #[error("multiple '{0}' options specified")]
    Repeated(&'static str),
    #[error("You need to supply the '{option}' option for the '{command}' command")]
    Missing {
        option: &'static str,
        command: &'static str,
    },
    #[error("Illegal '{option}' option with the '{command}' command")]
    Illegal {
        option: &'static str,
        command: &'static str,
    },
    #[error("The option '{option}' conflicts with the '{other}' option in the '{command}' command")]
    Conflict {
        option: &'static str,
        other: &'static str,
        command: &'static str,
    },
    #[error("options conflicts in the list command")]
    ListConflict,
    #[error("illegal virtual server address[:port] specified")]
    ServiceAddress,
    #[error("illegal real server address[:port] specified")]
    ServerAddress,
    #[error("illegal weight specified")]
    Weight,
    #[error("illegal u_threshold specified")]
    UpperThreshold,
    #[error("illegal l_threshold specified")]
    LowerThreshold,
    #[error("illegal syncid specified")]
    SyncId,
    #[error("illegal mcast-port specified")]
    MulticastPort,
    #[error("illegal mcast-ttl specified")]
    MulticastTtl,
    #[error("illegal sync-maxlen specified")]
    SyncMaxLength,
    #[error("invalid {family} mcast-group `{group}'")]
    MulticastGroup { family: &'static str, group: String },
    #[error("invalid timeout value `{0}' specified")]
    Timeout(String),
    #[error("invalid fwmark value `{0}' specified")]
    Mark(String),
    #[error("illegal {option} specified: {why}")]
    MarkOption { option: &'static str, why: String },
    #[error("illegal virtual server persistent mask specified")]
    Netmask,
    #[error("illegal ipv6 netmask specified")]
    Ipv6Netmask,
    #[error("illegal tunnel type specified")]
    TunnelType,
    #[error("illegal tunnel port specified")]
    TunnelPort,
    #[error("invalid scheduler flag `{0}'")]
    SchedulerFlag(String),
    #[error("incompatible scheduler flag `{0}'")]
    ForeignSchedulerFlag(String),
    #[error("{0}")]
    Sysctl(#[from] SysctlError),
    #[error("there is no file \"{name}\": {known}", known = ProcFile::names())]
    Proc { name: String },
    #[error("--set option requires 3 timeout values")]
    ThreeTimeouts,
    #[error("illegal start-daemon parameter specified")]
    StartDaemon,
    #[error("illegal start_daemon specified")]
    StopDaemon,
    #[error("-6 used before -f\n")]
    Ipv6BeforeMark,
    #[error("Zero port specified for non-persistent service")]
    ZeroPort,
    #[error("One-Packet Scheduling is only for UDP virtual services")]
    OnePacket,
    #[error("Different address family is allowed only for tunneling servers")]
    Family,
    #[error("Tunnel options conflict with forward method")]
    TunnelMethod,
    #[error("illegal source addresses specified: {0}")]
    Snat(String),
    #[error("'{0}' is no value of the option 'redispatch': yes or no")]
    Redispatch(String),
    #[error("'{0}' is no value of the option 'ondown': keep, reschedule or reset")]
    OnDown(String),
    #[error(
        "'{0}' are no timeouts of a service: TCP,TCPFIN,UDP in seconds, at most 2678400, 0 for those of --set"
    )]
    IdleTimeout(String),
    #[error("The option 'snat' goes with the forward method 'masquerading' only")]
    SnatMethod,
    #[error("You need to supply the 'tun-port' option for the 'gue' tunnel type")]
    TunnelPortMissing,
    #[error("Illegal '{option}' option with the '{tunnel}' tunnel type")]
    TunnelIllegal {
        option: &'static str,
        tunnel: &'static str,
    },
    #[error(
        "The option '{option}' conflicts with the '{other}' option in the '{tunnel}' tunnel type"
    )]
    TunnelConflict {
        option: &'static str,
        other: &'static str,
        tunnel: &'static str,
    },
}

impl UsageError {
    /// 2; or 255 for errors of ipvsadm's option parser, and without a command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand(_)
            | Self::UnknownOption(_)
            | Self::MissingValue(_)
            | Self::NeedlessValue(_)
            // As `sysctl` has it.
            | Self::Sysctl(_) => 255,
            _ => 2,
        }
    }

    /// False for errors of the option parser, after which `-R` goes on.
    pub fn ends_restore(&self) -> bool {
        !matches!(
            self,
            Self::UnknownOption(_) | Self::MissingValue(_) | Self::NeedlessValue(_)
        )
    }
}
