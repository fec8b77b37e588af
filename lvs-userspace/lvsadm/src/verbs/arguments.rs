//! Command lines of the verbs.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use lvs_api::connections::{Prefix, StateName};
use lvs_api::health::{AdminState, Weight};
use lvs_api::model::Method;
use lvs_api::role::Role;

use super::healthy::Cut;
use super::target::VirtualName;
use super::time::time;
use super::top::Top;
use super::trace::Trace;
use super::why::Why;

/// Operates the director and its real servers: drains and restores them, and shows their state.
///
/// Overrides of state and weight are kept over a restart of lvsd. All of ipvsadm's commands begin with `-`:
/// `lvsadm -h` lists them.
#[derive(Debug, Parser)]
#[command(name = "lvsadm", after_help = EXIT_STATUS)]
pub(super) struct Arguments {
    /// Control socket of lvsd (also in LVS_SOCKET)
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) socket: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) verb: Verb,
}

const EXIT_STATUS: &str = "\
VIRTUAL is HOST:PORT, tcp:HOST:PORT, udp:HOST:PORT, fwm N, a servicename of the file, or all.
REAL is an address or a name of the file, with :PORT or without.

`lvsadm --timeout TIME VERB ...`: lvsd has to answer within this time; 10 s unless given.

Exit status: 0 done; 1 connections were left (drain), or directors not in step (sync wait), at the
deadline, or the director is not healthy; 2 a wrong command line, or no lvsd; 255 refused.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Server(SetState),
    Weight(SetWeight),
    Drain(Drain),
    #[command(subcommand)]
    Connections(Connections),
    #[command(subcommand)]
    Filter(Filter),
    /// Show the director's role and virtual addresses, every virtual service and real server: state and its
    /// age, result of the last probe, connections and weights
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    Top(Top),
    Trace(Trace),
    Why(Why),
    /// Print changes of state as they happen, one line of JSON each
    Events,
    #[command(subcommand)]
    Sync(Sync),
    /// Print the director's role, or change it: returns when that is done
    Role {
        /// master: hold the virtual addresses; backup: be ready to
        #[arg(value_name = "master|backup")]
        take: Option<Role>,
        /// master, even beside another director that is connected and master: for cluster managers, which have decided
        #[arg(long, requires = "take")]
        force: bool,
    },
    /// Hand the role over to the peer: it knows every connection, can go on with it, and holds the addresses before
    /// this director releases them. Any failure leaves this one master
    Handover {
        /// Wait no longer than this for the peer to know every connection (`10m`, `90s`, or seconds)
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s")]
        timeout: Duration,
        /// Even if the peer's configuration differs, its interfaces of the virtual addresses are down or without carrier,
        /// or it has not every connection by then: these are lost
        #[arg(long)]
        force: bool,
    },
    Healthy(Healthy),
}

/// Exit with 0 if this director may be master, for the scripts of cluster managers: see /usr/lib/lvs/healthy
///
/// The program is attached to an interface. A backup has the connections of its peers, as `sync wait --takeover` has
/// it. Real servers are reached from here, by this director's own health checks, or from nowhere: a master that is cut
/// off from the servers is to give way to a peer that is not. The same holds for the interfaces of its virtual addresses
/// (`lvsd --virtual-address`): they have a carrier, or a peer's have none either. What is wrong is printed, and how peers differ; a
/// difference alone leaves the exit code 0: with another one neither of a pair that differs could be master.
///
/// Without a peer that can be asked, and with none of the options, real servers do not count. With an option they do
/// without a peer, too: let keepalived's script change the priority then (`weight -20`), so that nothing moves if they
/// are down for both directors.
#[derive(Clone, Copy, Debug, Args)]
#[command(group = ArgGroup::new("cut-off").multiple(false).args(["any_service", "all_services", "no_services"]))]
pub(super) struct Healthy {
    /// Not healthy if of any virtual service no real server is reached
    #[arg(long)]
    pub(super) any_service: bool,
    /// Not healthy if of all virtual services no real server is reached: the rule with a peer
    #[arg(long)]
    pub(super) all_services: bool,
    /// Healthy whatever real servers are reached
    #[arg(long)]
    pub(super) no_services: bool,
}

impl Healthy {
    pub(super) const fn services(self) -> Cut {
        match (self.any_service, self.all_services, self.no_services) {
            (true, _, _) => Cut::Any,
            (_, true, _) => Cut::All,
            (_, _, true) => Cut::Never,
            _ => Cut::AllWithPeer,
        }
    }
}

/// Work on connections; `lvsadm -Lnc` lists them
#[derive(Debug, Subcommand)]
pub(super) enum Connections {
    Drop(DropConnections),
}

/// End connections: those that all given options are true of
///
/// They are removed from the tables, those by NAT with both their directions, and from those of the peers within a
/// second or so. Nothing is sent to anybody: the next packet of a client that still uses one belongs to no
/// connection. New connections are not prevented. At least one option limits what is ended, or --all says that
/// everything is meant.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("limits").required(true).multiple(true).args([
    "service", "client", "server", "state", "idle", "all",
]))]
pub(super) struct DropConnections {
    /// Of this virtual service
    #[arg(long, value_name = "VIRTUAL", conflicts_with = "all")]
    pub(super) service: Option<VirtualName>,
    /// Of clients with this address, or in this network (`192.0.2.0/24`, `2001:db8::/32`)
    #[arg(long, value_name = "PREFIX", conflicts_with = "all")]
    pub(super) client: Option<Prefix>,
    /// To the real server with this address, or address and port; also one that was deleted
    #[arg(long, value_name = "REAL", value_parser = server, conflicts_with = "all")]
    pub(super) server: Option<SocketAddr>,
    /// In this state, as `lvsadm -Lnc` names it (of SCTP: `sctp:established`); half-open; or unproven: half-open,
    /// closing, or of a few packets only
    #[arg(long, value_name = "STATE", conflicts_with = "all")]
    pub(super) state: Option<StateName>,
    /// Without a packet for this time at least (`10m`, `90s`, or seconds)
    #[arg(long, value_name = "DURATION", value_parser = time, conflicts_with = "all")]
    pub(super) idle: Option<Duration>,
    /// Every connection
    #[arg(long)]
    pub(super) all: bool,
    /// Persistence templates, too: clients may get another real server then
    #[arg(long)]
    pub(super) templates: bool,
    /// Only count them
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Show or await connection replication over lvsd's own encrypted sessions (`lvsd --peer`); the kernel's
/// protocol is started by `--start-daemon`, and only shown here
#[derive(Debug, Subcommand)]
pub(super) enum Sync {
    /// Show the peers: their state, what is sent to and received from them, what was refused and lost; and the
    /// daemons of the kernel's protocol
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Return when this director and all its peers know each other's connections, and have the same virtual
    /// services, real servers and settings
    Wait {
        /// Wait no longer than this (`10m`, `90s`, or seconds)
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
        timeout: Duration,
        /// Do not wait for a peer that is away, nor for one that differs
        ///
        /// For a takeover from a peer that died. A peer that has not sent everything is waited for until it was
        /// away for 5 s: this director may have been started just now.
        #[arg(long)]
        takeover: bool,
    },
}

/// Show or set which clients may begin connections with a virtual service, and how many
///
/// Packets that lvsd forwards never meet netfilter (iptables, nftables) on this machine: filters take its place.
///
/// The longest prefix of both lists that a client's address lies in decides, and one that stands in both denies. An
/// address in none of them is admitted, unless there is an allow list. Only packets of no known connection are asked
/// for: a change ends no connection (the director's peers have filters of their own). What is refused is dropped, and
/// counted here and by `lvsadm --verdicts`: drop-denied, drop-client-new, drop-client-open, drop-client-packets.
#[derive(Debug, Subcommand)]
pub(super) enum Filter {
    /// Show filters: their lists with sizes and files, their limits, and what they refused
    Show {
        /// Virtual service
        #[arg(value_name = "VIRTUAL", default_value = "all")]
        service: VirtualName,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    Set(SetFilter),
    /// Remove the filter of a virtual service
    Clear {
        /// Virtual service
        #[arg(value_name = "VIRTUAL")]
        service: VirtualName,
    },
    /// Read the files of all filters again. One that is wrong changes nothing
    Reload,
}

/// Replace the filter of a virtual service: what is not named is not filtered
///
/// It is kept over a restart of lvsd. For services of an ldirectord.cf the file's word holds again at the next
/// reload: write allow, deny, limitnew, limitopen, limitpackets and limitprefix there.
#[derive(Debug, Args)]
#[command(after_help = FILTER_EXAMPLES)]
pub(super) struct SetFilter {
    /// Virtual service
    #[arg(value_name = "VIRTUAL")]
    pub(super) service: VirtualName,
    /// Clients that may begin connections, then nobody else may: an address, a prefix such as 192.0.2.0/24, or a
    /// file with one of these on each line (`#` begins a comment). May be repeated
    #[arg(long, value_name = "PREFIX|FILE")]
    pub(super) allow: Vec<String>,
    /// Clients that may not begin connections
    #[arg(long, value_name = "PREFIX|FILE")]
    pub(super) deny: Vec<String>,
    /// New connections of one client a second, and as many at once after a second's pause
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(super) new_per_second: u32,
    /// Connections of one client that are open at a time
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(super) open: u32,
    /// Packets of one client a second, of connections that begin from now on
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(super) packets_per_second: u32,
    /// Length of the prefix that is one client [default: 32, of IPv6 64]
    #[arg(long, value_name = "BITS")]
    pub(super) prefix: Option<u8>,
}

const FILTER_EXAMPLES: &str = "\
Examples:
  lvsadm filter set 192.0.2.10:80 --deny /etc/lvs/blocked --deny 203.0.113.7
  lvsadm filter set tcp:192.0.2.10:22 --allow 198.51.100.0/24
  lvsadm filter set www --new-per-second 20 --open 100 --prefix 24";

/// Set a real server ready, draining or in maintenance; or have one checked that is not in the file
///
/// A real server that was added by hand (`lvsadm -a`) to a virtual service of the file is not checked: `status` lists
/// it as that. `add --check` has it checked as the others of the service, and adds it if it is not there; it is kept
/// over a reload and a restart, until `remove`, whereupon its connections follow `ondown`.
#[derive(Debug, Args)]
pub(super) struct SetState {
    /// Virtual service
    #[arg(value_name = "VIRTUAL")]
    pub(super) service: VirtualName,
    /// Real server
    #[arg(value_name = "REAL")]
    pub(super) server: String,
    /// ready: traffic, as long as its health checks pass; drain: no new connections but those of
    /// persistent clients; maint: no traffic and no probes; add, remove: see above
    #[arg(value_name = "ready|drain|maint|add|remove", value_parser = server_action)]
    pub(super) action: ServerAction,
    /// With add: it is checked
    #[arg(long)]
    pub(super) check: bool,
    /// With add: its weight, if it is not in the tables yet
    #[arg(long, value_name = "N", default_value_t = 1, requires = "check")]
    pub(super) weight: u32,
    /// With add: its forwarding method, if it is not in the tables yet [default: that of the service's first server]
    #[arg(long, value_name = "gate|masq|ipip", value_parser = method, requires = "check")]
    pub(super) method: Option<Method>,
    /// Only until lvsd ends: an override that cannot be kept over a restart is refused otherwise
    #[arg(long)]
    pub(super) volatile: bool,
}

/// Set a real server's weight in place of the configured one
#[derive(Debug, Args)]
pub(super) struct SetWeight {
    /// Virtual service
    #[arg(value_name = "VIRTUAL")]
    pub(super) service: VirtualName,
    /// Real server
    #[arg(value_name = "REAL")]
    pub(super) server: String,
    /// A weight, a part of the configured one, or the configured one again
    #[arg(value_name = "N|N%|configured", value_parser = weight)]
    pub(super) weight: Weight,
    /// Only until lvsd ends: an override that cannot be kept over a restart is refused otherwise
    #[arg(long)]
    pub(super) volatile: bool,
}

/// Drain a real server, and wait until its last connection has ended
#[derive(Debug, Args)]
pub(super) struct Drain {
    /// Real server
    #[arg(value_name = "REAL")]
    pub(super) server: String,
    /// Only in this virtual service
    #[arg(long = "virtual", value_name = "VIRTUAL", default_value = "all")]
    pub(super) service: VirtualName,
    /// Wait no longer than this (`10m`, `90s`, or seconds); the server stays drained
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) timeout: Option<Duration>,
    /// Only until lvsd ends: an override that cannot be kept over a restart is refused otherwise
    #[arg(long)]
    pub(super) volatile: bool,
}

fn server(word: &str) -> Result<SocketAddr, String> {
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    let address = bare
        .parse()
        .map(|address: IpAddr| SocketAddr::new(address, 0));
    let wrong =
        || format!("`{word}' is no address such as 10.0.0.1, 10.0.0.1:80 or [2001:db8::1]:80");
    address.or_else(|_| word.parse()).map_err(|_| wrong())
}

/// An action on a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerAction {
    /// The state is overridden.
    State(AdminState),
    /// It is added by hand.
    Add,
    /// One that was added by hand is removed.
    Remove,
}

fn server_action(word: &str) -> Result<ServerAction, String> {
    match word {
        "ready" => Ok(ServerAction::State(AdminState::Ready)),
        "drain" => Ok(ServerAction::State(AdminState::Drain)),
        "maint" => Ok(ServerAction::State(AdminState::Maint)),
        "add" => Ok(ServerAction::Add),
        "remove" => Ok(ServerAction::Remove),
        _ => Err("it is `ready', `drain', `maint', `add' or `remove'".to_owned()),
    }
}

fn method(word: &str) -> Result<Method, String> {
    match word {
        "gate" => Ok(Method::Direct),
        "masq" => Ok(Method::Nat),
        "ipip" => Ok(Method::Tunnel),
        _ => Err("it is `gate', `masq' or `ipip'".to_owned()),
    }
}

fn weight(word: &str) -> Result<Weight, String> {
    let number = |digits: &str| digits.parse().map_err(|_| NO_WEIGHT.to_owned());
    match word.strip_suffix('%') {
        Some(percent) => number(percent).map(Weight::Percent),
        None if word == "configured" => Ok(Weight::Configured),
        None => number(word).map(Weight::Absolute),
    }
}

const NO_WEIGHT: &str = "it is a number, a percentage such as `50%', or `configured'";

/// Joins the words `fwm N` to one, `fwm:N`.
pub(super) fn joined(words: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last) if last == "fwm" => {
                last.push(":");
                last.push(word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Verb, clap::Error> {
        let words = line.split(' ').map(OsString::from).collect();
        Arguments::try_parse_from(joined(words)).map(|arguments| arguments.verb)
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn weights_are_numbers_parts_or_the_configured_ones() {
        let weight = |word: &str| {
            let verb = parse(&format!("lvsadm weight www 10.0.0.1 {word}")).ok()?;
            match verb {
                Verb::Weight(arguments) => Some(arguments.weight),
                _ => None,
            }
        };
        assert_eq!(weight("7"), Some(Weight::Absolute(7)));
        assert_eq!(weight("50%"), Some(Weight::Percent(50)));
        assert_eq!(weight("configured"), Some(Weight::Configured));
        for wrong in ["", "%", "-1", "5%%", "half", "99999999999"] {
            assert_eq!(weight(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        let timeout = |word: &str| {
            let verb = parse(&format!("lvsadm drain rs1 --timeout {word}")).ok()?;
            match verb {
                Verb::Drain(arguments) => arguments.timeout,
                _ => None,
            }
        };
        assert_eq!(timeout("10m"), Some(Duration::from_mins(10)));
        assert_eq!(timeout("90"), Some(Duration::from_secs(90)));
        assert_eq!(timeout("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(timeout("soon"), None);
    }

    #[test]
    fn connections_are_dropped_by_any_option_but_not_without_one() {
        let parsed = |options: &str| parse(&format!("lvsadm connections drop{options}"));
        for options in [
            " --service www",
            " --client 192.0.2.0/24 --server 10.0.0.1",
            " --server [2001:db8::1]:80",
            " --state unproven --idle 10m --dry-run",
            " --all",
        ] {
            assert!(parsed(options).is_ok(), "{options}");
        }
        for options in [
            "",
            " --dry-run",
            " --templates",
            " --all --state established",
            " --client 192.0.2.1/24",
            " --server web1",
            " --state gone",
            " --idle soon",
        ] {
            assert!(parsed(options).is_err(), "{options}");
        }
    }

    #[test]
    fn a_firewall_mark_may_be_two_words() {
        for line in [
            "lvsadm server fwm 3 10.0.0.1:80 maint",
            "lvsadm server fwm:3 10.0.0.1:80 maint",
        ] {
            match parse(line) {
                Ok(Verb::Server(arguments)) => {
                    assert_eq!(arguments.service, VirtualName::Mark(3));
                    assert_eq!(arguments.action, ServerAction::State(AdminState::Maint));
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }
}
