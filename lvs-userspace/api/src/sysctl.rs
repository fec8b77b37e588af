//! The settings of `net.ipv4.vs`, by the names that they have in the kernel's IPVS.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A setting and the values that it takes.
#[derive(Clone, Copy, Debug)]
pub struct Sysctl {
    /// Name, as in `/proc/sys/net/ipv4/vs`.
    pub name: &'static str,
    /// Value unless it is set.
    pub default: u64,
    /// Values that it takes.
    pub values: Values,
}

/// Values of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// A number, at least and at most.
    Number(u32, u32),
    /// Two numbers: threshold and period in packets, see [`pair`].
    ThresholdAndPeriod,
    /// The default alone: nothing here does what another value would mean, for this reason.
    Fixed(&'static str),
    /// No value at all, for this reason.
    Absent(&'static str),
}

/// A setting, its value and, if it cannot be set, the reason: for listings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SysctlValue {
    /// Name.
    pub name: String,
    /// Value as `sysctl` prints it; empty: there is none.
    pub value: String,
    /// The reason why it cannot be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

/// Two numbers as one value: threshold and period.
pub const fn pair(threshold: u32, period: u32) -> u64 {
    (period as u64) << 32 | threshold as u64
}

/// The two numbers of such a value.
#[expect(clippy::cast_possible_truncation, reason = "each half is meant")]
pub const fn parts(pair: u64) -> (u32, u32) {
    (pair as u32, (pair >> 32) as u32)
}

/// The reason why there is nothing to defend memory against.
const FIXED_TABLES: &str = "the tables have a fixed size, so connections take no more memory; in a flood what is \
     half-open or said little makes room, and lvsadm filter limits each client";

const INT_MAX: u32 = i32::MAX as u32;

const fn number(name: &'static str, default: u64, least: u32, most: u32) -> Sysctl {
    let values = Values::Number(least, most);
    Sysctl {
        name,
        default,
        values,
    }
}

const fn fixed(name: &'static str, value: u64, why: &'static str) -> Sysctl {
    let values = Values::Fixed(why);
    Sysctl {
        name,
        default: value,
        values,
    }
}

const fn absent(name: &'static str, why: &'static str) -> Sysctl {
    let values = Values::Absent(why);
    Sysctl {
        name,
        default: 0,
        values,
    }
}

macro_rules! sysctls {
    ($($(#[$doc:meta])* $id:ident $value:expr;)+) => {
        /// Settings by name. Values are kept by these numbers: new ones are added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        #[expect(missing_docs, reason = "named as in the kernel's IPVS")]
        pub enum Name { $($id,)+ }

        impl Name {
            /// Every setting.
            pub const ALL: &[Self] = &[$(Self::$id,)+];

            /// The setting.
            pub const fn sysctl(self) -> Sysctl {
                match self { $(Self::$id => $value,)+ }
            }
        }
    };
}

sysctls! {
    AmDroprate fixed("am_droprate", 10, FIXED_TABLES);
    Amemthresh fixed("amemthresh", 1024, FIXED_TABLES);
    BackupOnly fixed("backup_only", 0,
        "a director that is to forward nothing has the role backup: lvsadm role backup");
    CacheBypass fixed("cache_bypass", 0,
        "a rule for marks takes virtual addresses only, so there is no other destination to pass a packet on to");
    ConnReuseMode number("conn_reuse_mode", 1, 0, INT_MAX);
    Conntrack fixed("conntrack", 0, "packets are forwarded before netfilter would track them");
    DropEntry fixed("drop_entry", 0, FIXED_TABLES);
    DropPacket fixed("drop_packet", 0, FIXED_TABLES);
    EstCpulist absent("est_cpulist", "one thread of lvsd estimates all rates");
    EstNice fixed("est_nice", 0, "one thread of lvsd estimates all rates, at lvsd's own priority");
    ExpireNodestConn number("expire_nodest_conn", 0, 0, 1);
    ExpireQuiescentTemplate number("expire_quiescent_template", 0, 0, 1);
    IgnoreTunneled fixed("ignore_tunneled", 0,
        "a packet inside another one is seen on its tunnel device only, and there only if lvsd runs on that");
    LblcExpiration fixed("lblc_expiration", 86400, "destinations that were not used for longest make room for others");
    LblcrExpiration fixed("lblcr_expiration", 86400, "the time is the program's own");
    NatIcmpSend fixed("nat_icmp_send", 0,
        "a real server's packet of no connection is the kernel's, which routes it as any other");
    PmtuDisc fixed("pmtu_disc", 1,
        "a packet with the bit DF that does not fit a tunnel is always answered, never fragmented");
    RunEstimation number("run_estimation", 1, 0, 1);
    ScheduleIcmp fixed("schedule_icmp", 0, "an ICMP error about no connection is the kernel's");
    SecureTcp fixed("secure_tcp", 0,
        "half-open connections never take more than half of a set of the table, so none has to end sooner");
    SloppySctp number("sloppy_sctp", 0, 0, 1);
    SloppyTcp number("sloppy_tcp", 0, 0, 1);
    SnatReroute fixed("snat_reroute", 1, "replies always go by the routes from the virtual address");
    SyncPersistMode number("sync_persist_mode", 0, 0, 1);
    SyncPorts number("sync_ports", 1, 1, 64);
    SyncQlenMax absent("sync_qlen_max", "messages are sent when they are made, there is no queue");
    SyncRefreshPeriod number("sync_refresh_period", 0, 0, INT_MAX);
    SyncRetries number("sync_retries", 0, 0, 3);
    SyncSockSize number("sync_sock_size", 0, 0, 1 << 30);
    SyncThreshold Sysctl {
        name: "sync_threshold",
        default: pair(3, 50),
        values: Values::ThresholdAndPeriod,
    };
    SyncVersion number("sync_version", 1, 0, 1);
    ConnLfactor absent("conn_lfactor", "the connection tables have the size of --table4 and --table6");
    SvcLfactor absent("svc_lfactor", "the table of services has a fixed size");
    DebugLevel absent("debug_level", "the log level is that of lvsd --log-level");
}

/// The reason why a setting was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum SysctlError {
    #[error("there is no setting {0:?}: `lvsadm --sysctl` lists all")]
    Unknown(String),
    #[error("{name} cannot be set: {why}")]
    Fixed {
        name: &'static str,
        why: &'static str,
    },
    #[error("{name} is {value} here and takes no other value: {why}")]
    OneValue {
        name: &'static str,
        value: String,
        why: &'static str,
    },
    #[error("{value:?} is no value of {name}: {wanted}")]
    Value {
        name: &'static str,
        value: String,
        wanted: String,
    },
}

impl Name {
    /// The setting with this name; what stands before the last dot or slash (`net.ipv4.vs.`) is not needed.
    pub fn find(text: &str) -> Result<Self, SysctlError> {
        let unprefixed = text
            .strip_prefix("net.ipv4.vs.")
            .or_else(|| text.strip_prefix("net/ipv4/vs/"))
            .unwrap_or(text);
        let found = Self::ALL
            .iter()
            .find(|name| name.sysctl().name == unprefixed);
        found
            .copied()
            .ok_or_else(|| SysctlError::Unknown(text.to_owned()))
    }

    /// Reads a value as it is typed.
    pub fn parse(self, text: &str) -> Result<u64, SysctlError> {
        let Sysctl {
            name,
            default,
            values,
        } = self.sysctl();
        let wrong = |wanted: String| SysctlError::Value {
            name,
            value: text.to_owned(),
            wanted,
        };
        match values {
            Values::Number(least, most) => {
                let value = text.trim().parse::<u32>().ok();
                let value = value.filter(|value| (least..=most).contains(value));
                let value =
                    value.ok_or_else(|| wrong(format!("a number from {least} to {most}")))?;
                // A port is found by its lower bits (`proc_do_sync_ports`).
                if self == Self::SyncPorts && !value.is_power_of_two() {
                    return Err(wrong("a power of two from 1 to 64".to_owned()));
                }
                Ok(value.into())
            }
            Values::ThresholdAndPeriod => {
                let wanted =
                    "a threshold and a larger period (or 0) in packets, as in \"3 50\" or 3,50";
                // A line of a file has no quoting: there a comma stands between them.
                let mut words = text
                    .split(|c: char| c == ',' || c.is_whitespace())
                    .filter(|word| !word.is_empty())
                    .map(|word| word.parse::<u32>().ok());
                let numbers = (words.next().flatten(), words.next().flatten(), words.next());
                match numbers {
                    (Some(threshold), Some(period), None)
                        if (threshold < period || period == 0)
                            && threshold <= INT_MAX
                            && period <= INT_MAX =>
                    {
                        Ok(pair(threshold, period))
                    }
                    _ => Err(wrong(wanted.to_owned())),
                }
            }
            Values::Fixed(why) => {
                if text.trim().parse() == Ok(default) {
                    return Ok(default);
                }
                let value = self.render(default);
                Err(SysctlError::OneValue { name, value, why })
            }
            Values::Absent(why) => Err(SysctlError::Fixed { name, why }),
        }
    }

    /// A value as `sysctl` prints it.
    pub fn render(self, value: u64) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = match self.sysctl().values {
            Values::Number(..) | Values::Fixed(_) => write!(text, "{value}"),
            Values::ThresholdAndPeriod => {
                let (threshold, period) = parts(value);
                write!(text, "{threshold}\t{period}")
            }
            Values::Absent(_) => Ok(()),
        };
        text
    }

    /// A setting with its value, for listings.
    pub fn listed(self, value: u64) -> SysctlValue {
        let Sysctl { name, values, .. } = self.sysctl();
        let fixed = match values {
            Values::Fixed(why) | Values::Absent(why) => Some(why.to_owned()),
            Values::Number(..) | Values::ThresholdAndPeriod => None,
        };
        SysctlValue {
            name: name.to_owned(),
            value: self.render(value),
            fixed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_by_their_names() {
        for name in Name::ALL {
            let text = name.sysctl().name;
            assert_eq!(Name::find(text), Ok(*name));
            assert_eq!(Name::find(&format!("net.ipv4.vs.{text}")), Ok(*name));
        }
        let error = Name::find("vs.conn_reuse_mode").unwrap_err();
        assert!(error.to_string().contains("vs.conn_reuse_mode"), "{error}");
    }

    #[test]
    fn values_have_bounds() {
        for (name, text, expected) in [
            (Name::ConnReuseMode, "0", Some(0)),
            (Name::ConnReuseMode, "3", Some(3)),
            (Name::ConnReuseMode, "-1", None),
            (Name::ConnReuseMode, "x", None),
            (Name::ConnReuseMode, "", None),
            (Name::SyncRetries, "3", Some(3)),
            (Name::SyncRetries, "4", None),
            (Name::SyncPorts, "4", Some(4)),
            (Name::SyncPorts, "3", None),
            (Name::SyncPorts, "128", None),
            (Name::SyncThreshold, "3 50", Some(pair(3, 50))),
            (Name::SyncThreshold, "3\t0", Some(pair(3, 0))),
            (Name::SyncThreshold, "3,50", Some(pair(3, 50))),
            (Name::SyncThreshold, "50 50", None),
            (Name::SyncThreshold, "3", None),
            (Name::SyncThreshold, "1 2 3", None),
        ] {
            assert_eq!(name.parse(text).ok(), expected, "{name:?} {text:?}");
        }
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        assert_eq!(Name::Conntrack.parse("0"), Ok(0));
        let error = Name::Conntrack.parse("1").unwrap_err().to_string();
        assert!(error.starts_with("conntrack is 0 here"), "{error}");
        let error = Name::SyncQlenMax.parse("1").unwrap_err().to_string();
        assert!(error.contains("no queue"), "{error}");
        assert!(Name::SyncQlenMax.listed(0).fixed.is_some());
        assert_eq!(Name::RunEstimation.listed(1).fixed, None);
    }

    #[test]
    fn a_pair_is_printed_as_sysctl_prints_it() {
        assert_eq!(Name::SyncThreshold.render(pair(3, 50)), "3\t50");
        assert_eq!(parts(pair(7, 9)), (7, 9));
    }
}
