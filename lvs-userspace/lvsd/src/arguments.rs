//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::TypedValueParser as _;
use clap::{ArgAction, Parser, ValueEnum};
use lvs_api::DEFAULT_SOCKET;
use lvs_api::role::Role;
use lvs_api::sysctl::Name;
use lvs_api::virtual_address::VirtualAddress;
use lvs_dataplane::device::ModeOption;
use lvs_manual::Document;
use lvs_replication::peer;

/// Folder of files that outlive a reboot.
const DEFAULT_STATE: &str = "/var/lib/lvs";

/// The director daemon: makes this machine a layer-4 load balancer.
///
/// lvsd loads a program into the kernel, in network drivers (XDP) or behind them (TC), that forwards the packets
/// of virtual services to real servers, and keeps its tables: services and real servers, next hops, expired
/// connections. Services come from a file or, at any time, from lvsadm, which takes ipvsadm's commands.
///
/// With a command (`lvsd www.cf start`, or in the other order) it does what ldirectord does: the daemon
/// runs in the background, is known by the name of its file, and start and stop return when it is done.
/// Without one it runs in the foreground with the options given.
///
/// The kernel does the forwarding. It goes on when lvsd ends, is killed or is being replaced; the next
/// lvsd takes over services and connections as they are, and puts its own program in the old one's
/// place without losing a packet. To stop forwarding, run lvsd with --detach-on-exit and stop it.
#[derive(Debug, Parser)]
#[command(
    name = "lvsd",
    version,
    after_long_help = AFTER_HELP,
    override_usage = USAGE,
    disable_help_flag = true,
    disable_version_flag = true
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Arguments {
    /// A command and the file of its daemon: `www.cf start` or `start www.cf`
    ///
    /// The file is looked for in /etc/ha.d, /etc/ha.d/conf, by its path, and in /etc/lvs; without one it
    /// is ldirectord.cf. Its daemon's pid file is /var/run/ldirectord.FILE.pid.
    #[arg(value_name = "FILE|COMMAND", hide = true)]
    pub(crate) words: Vec<String>,

    /// With `check`: a warning is as bad as an error
    #[arg(long)]
    pub(crate) strict: bool,

    /// Stay in the foreground with `start`, and log in detail on the error output
    #[arg(long, short)]
    pub(crate) debug: bool,

    /// Stay in the foreground with `start`, for a supervisor, and log on the standard output
    ///
    /// The other commands find this daemon, too. systemd is notified of readiness, and its watchdog is served.
    #[arg(long)]
    pub(crate) foreground: bool,

    /// The process that `start` runs in the background
    #[arg(long, hide = true)]
    pub(crate) detached: bool,

    /// Virtual services, in the lines of `ipvsadm -S`, or with health checks in those of ldirectord.cf
    ///
    /// With the lines of ipvsadm the tables are made to hold exactly the services of the file: services and
    /// servers that are not in it are deleted, connections stay. Beside those of an ldirectord.cf others stay. If any
    /// line is wrong, all errors are printed and nothing changes. SIGHUP reads the file again. Without this option the
    /// tables stay as they are.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// An interface at which packets of clients or real servers arrive (give it once for each)
    ///
    /// Interfaces that an earlier lvsd attached to and that are not named now are detached. Without
    /// this option the program stays on its interfaces, and is attached to those that the routes of the
    /// services lead through: at the start, and when services or their ways become known.
    #[arg(long, short, value_name = "IF")]
    pub(crate) interface: Vec<String>,

    /// Place of the program: auto, xdp or tc; for one interface IF=MODE (give it once for each) [default: auto]
    ///
    /// In a driver that runs XDP programs packets cost the least. Elsewhere (bridges, VLAN and macvlan devices,
    /// tun, WireGuard, veth devices of containers) the program runs behind the driver, as a TC classifier. `auto`
    /// takes XDP where the driver can and, of a veth device, where its other end takes frames from XDP; it follows
    /// changes, and sends by TC what has to leave by an interface that takes no frames from XDP. `xdp` fails where
    /// it cannot be, and says why. `lvsadm --status` shows the place and the reason.
    #[arg(long, value_name = "[IF=]MODE")]
    pub(crate) mode: Vec<ModeOption>,

    /// Clients on this machine reach the virtual services, too: processes of a cgroup [default: of all]
    ///
    /// Where one of their sockets connects to a virtual service, or sends it a datagram, it gets a real server's
    /// address instead, and speaks with that directly: the server has to answer at its own address, whatever the
    /// forwarding method. TCP and UDP, in the director's own network namespace (no containers), when the socket is
    /// connected; connections that exist stay. All of them are one client to persistence, sh and mh; with lc, wlc,
    /// sed, nq, lblc and lblcr the server is drawn by weight. They are counted as connections, without packets. Not
    /// SCTP, for which the kernel has no such hook, nor filters and services of firewall marks, as what they look at
    /// (interface, source address) is not decided yet when a socket connects. Needs a cgroup2 file system.
    #[arg(
        long,
        value_name = "CGROUP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = clap::builder::OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) local_clients: Option<PathBuf>,

    /// Folder of the BPF file system that keeps the data path
    ///
    /// Two directors (in two network namespaces, say) need two folders. Where none is mounted, a BPF
    /// file system is.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/lvs")]
    pub(crate) bpffs: PathBuf,

    /// Control socket; root and the group "lvs", if there is one, may use it
    ///
    /// It serves 256 clients at once. Where more come, those that have been quiet for longest are disconnected, other
    /// users' before root's. A client that takes nothing of an answer for a minute is disconnected, too.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,

    /// Serve metrics, a page and the control API by HTTP at this address, as 127.0.0.1:8850 [default: not at all]
    ///
    /// `/metrics` is for Prometheus, `/livez` and `/readyz` for supervisors, `/` for browsers, `/v1/…` is the control
    /// API as at the control socket. Without --http-users everybody who reaches the address may see all, and
    /// change nothing. A client has at most 32 connections and 50 requests a second.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,

    /// Who may ask by HTTP: a file with a line NAME:HASH:RIGHT for each user, which not everybody may read
    ///
    /// HASH is that of a password, as `htpasswd -nB NAME` prints it, or sha256-HEX of a bearer token, HEX as `printf
    /// %s "$token" | sha256sum` prints it. RIGHT is `read`, or `operate` for all that the group of the control
    /// socket may do. Wrong passwords are logged with the client's address, and slowed down. Passwords need TLS, but on
    /// an address of this machine only (127.0.0.1, ::1). A reload of the configuration reads the file again.
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(crate) http_users: Option<PathBuf>,

    /// Certificate (PEM, with the authorities between) for TLS at the address of --http
    ///
    /// A reload of the configuration reads it and its key again; connections stay.
    #[arg(long, value_name = "FILE", requires = "http", requires = "http_key")]
    pub(crate) http_certificate: Option<PathBuf>,

    /// Private key (PEM) of --http-certificate
    #[arg(long, value_name = "FILE", requires = "http_certificate")]
    pub(crate) http_key: Option<PathBuf>,

    /// Folder of files that outlive a reboot: operators' overrides [default: /var/lib/lvs]
    ///
    /// With another --socket, the default is the socket's folder: it is another director's.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// User that commands of health checks run as, unless the file names one (`checkuser`) [default: nobody]
    ///
    /// They have the privileges of this user and of its group, or the group given, and no more. As `root` they have
    /// those that lvsd was started with. An lvsd that is not root runs them as itself.
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) check_user: Option<String>,

    /// Virtual services that there is room for [default: 16384]
    ///
    /// Each takes about a kilobyte of the kernel's memory, and more on machines with many CPUs. A data path that is
    /// taken over keeps its sizes, see --reset.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(16..=65_535))]
    pub(crate) services: Option<u32>,

    /// Real servers of all services together that there is room for [default: 65536]
    ///
    /// Deleted ones count as long as they have connections. Each takes about 280 bytes of the kernel's memory, and 40
    /// for each CPU. With room for more than 65536, the service of a reply (NAT) is looked for. A data path that is
    /// taken over keeps its sizes, see --reset.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(64..=262_144))]
    pub(crate) servers: Option<u32>,

    /// Entries of the IPv4 connection table, 64 bytes each [default: 524288]
    ///
    /// A connection takes one entry, a NAT connection two. At 45 % of the entries in use one new
    /// connection in 10,000 finds no room, at 74 % one in 100: give two entries for each connection
    /// expected, four with NAT. A data path that is taken over keeps its sizes, see --reset.
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u32).range(8..=1 << 26))]
    pub(crate) table4: Option<u32>,

    /// Entries of the IPv6 connection table, 128 bytes each [default: 131072]
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u32).range(8..=1 << 25))]
    pub(crate) table6: Option<u32>,

    /// Room for the scheduling tables of all services together [default: 8388608]
    ///
    /// A service with rr needs one slot for each real server, with wrr and twos the sum of the weights, with sh
    /// and dh 256, with mh 4093, with the others none; during an edit twice that.
    #[arg(long, value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1024..=1 << 28))]
    pub(crate) slots: Option<u32>,

    /// Fragmented packets that are followed at once [default: 16384]
    #[arg(long, value_name = "PACKETS", value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
    pub(crate) fragments: Option<u32>,

    /// Room for the lists of all filters together, in elements of 24 bytes [default: 524288]
    ///
    /// 50,000 prefixes take 20,000 to 130,000 elements, the more the further apart they lie; while they are
    /// replaced twice that. Services with the same filter share it.
    #[arg(long, value_name = "ELEMENTS", value_parser = clap::value_parser!(u32).range(1024..=1 << 26))]
    pub(crate) filter_nodes: Option<u32>,

    /// Vary the outer source address of tunnels with the flow
    ///
    /// Spreads the load over the receive queues of real servers whose cards look at the outer addresses
    /// only. The default is the director's own address.
    #[arg(long)]
    pub(crate) rss_source: bool,

    /// ICMP errors the director sends per second and CPU at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) icmp_rate: u32,

    /// A sync master sends a connection at this packet from its client
    ///
    /// A connection that closes is sent at once. Sync daemons replicate connections by the protocol of the
    /// kernel's IPVS (see `--peer` for lvsd's own). They are started with `lvsadm --start-daemon`, and run again
    /// with the next lvsd.
    #[arg(long, value_name = "PACKETS", default_value_t = 3)]
    pub(crate) sync_threshold: u32,

    /// A sync master sends a connection again after each so many packets; 0: once
    #[arg(long, value_name = "PACKETS", default_value_t = 50)]
    pub(crate) sync_period: u32,

    /// A sync master sends a connection that goes on again after this time; 0s: by its packets only
    ///
    /// Or after half its timeout, if that is less; ten seconds count as the least half.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) sync_refresh: Duration,

    /// A sync master repeats each message so many times, an eighth of `--sync-refresh` apart
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(..=3), default_value_t = 0)]
    pub(crate) sync_retries: u8,

    /// Ports of the sync daemons, from `--mcast-port` on: as many as `net.ipv4.vs.sync_ports` of the others
    ///
    /// A master spreads connections over them, each through its own; a backup listens at all.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64), default_value_t = 1)]
    pub(crate) sync_ports: u16,

    /// Of persistent services a sync master sends the templates only (1), or their connections too (0)
    ///
    /// With 1 there are fewer messages, and after a failover clients get their real servers again, but their TCP
    /// connections are lost.
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(..=1), default_value_t = 0)]
    pub(crate) sync_persist_mode: u8,

    /// Buffer of a sync daemon's socket; 0: the system's default [default: 1 MiB to send, 8 MiB to receive]
    ///
    /// `lvsadm sync status` shows how many messages were lost for want of room.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=1 << 30))]
    pub(crate) sync_sock_size: Option<u32>,

    /// A setting of net.ipv4.vs, by its name there (give it once for each)
    ///
    /// It is set at the start, before the configuration is read; `lvsadm --sysctl` lists and changes settings, which
    /// are kept until the data path is removed.
    #[arg(long, value_name = "NAME=VALUE", value_parser = sysctl)]
    pub(crate) sysctl: Vec<(String, String)>,

    /// Role to start in, of a pair of directors: master or backup
    ///
    /// A backup holds services, connections and health of real servers ready, but no virtual addresses; it
    /// answers no clients and sends no mail. `lvsadm role` changes the role. An lvsd that
    /// takes over a data path keeps its role.
    #[arg(long, value_name = "ROLE", default_value_t)]
    pub(crate) role: Role,

    /// An address that the master of a pair holds (give it once for each)
    ///
    /// All of them move together: virtual addresses, and the one that real servers behind NAT have as their
    /// gateway. `lvsadm role master` adds and announces them, `lvsadm role backup` removes them. When
    /// lvsd is stopped, a peer that is connected takes them over; without one they are removed (but see
    /// --keep-addresses). An address that another program added is left alone. Without a prefix it is /32 or /128.
    #[arg(long, value_name = "ADDRESS/PREFIX@IF")]
    pub(crate) virtual_address: Vec<VirtualAddress>,

    /// When lvsd is stopped, leave the virtual addresses where they are
    ///
    /// For a director without health checks: it goes on forwarding without lvsd.
    #[arg(long)]
    pub(crate) keep_addresses: bool,

    /// Announcements of each address when it is taken: gratuitous ARP, or unsolicited neighbour advertisements
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub(crate) announce_count: u32,

    /// From one announcement to the next
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "200ms")]
    pub(crate) announce_interval: Duration,

    /// From the end of the announcements to their repetition, as long as the director is master; 0s: none
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1m")]
    pub(crate) announce_repeat: Duration,

    /// Another lvsd to replicate connections with, as HOST or HOST:PORT (give it once for each)
    ///
    /// Each director sends the others its own connections, over encrypted sessions of lvsd's own protocol that
    /// only those with the same key can make (for directors with the kernel's IPVS see `lvsadm
    /// --start-daemon`); all of them name all others, or one list of all. `lvsadm sync status` shows their
    /// state. Port 8849 unless given. A name is one director, by whichever of its addresses answers; a
    /// link-local address has its interface: fe80::2%eth0, [fe80::2%eth0]:8849.
    #[arg(long, value_name = "HOST[:PORT]", requires = "peer_key", value_parser = peer::peer_address)]
    pub(crate) peer: Vec<String>,

    /// Address to listen at for peers [default: port 8849 of every address]
    #[arg(long, value_name = "ADDRESS[:PORT]", requires = "peer_key", value_parser = peer::listen_address)]
    pub(crate) peer_listen: Option<SocketAddr>,

    /// Key that all peers share: a file of at least 16 bytes that only its owner may read
    #[arg(long, value_name = "FILE")]
    pub(crate) peer_key: Option<PathBuf>,

    /// Remove the data path that is there, with all services and connections, and make a new one
    ///
    /// The way to new table sizes, and away from a data path of an incompatible lvsd.
    #[arg(long)]
    pub(crate) reset: bool,

    /// When lvsd is stopped, stop forwarding too and remove everything from the kernel
    #[arg(long)]
    pub(crate) detach_on_exit: bool,

    /// Load the program to have it verified, print its size, and end
    #[arg(long)]
    pub(crate) verify: bool,

    /// Log level: error, warn, info, debug or trace (RUST_LOG takes finer filters)
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,

    /// Level of the programs' own log
    ///
    /// Lines of the programs in the kernel: at error their faults, at warn missing room, routes, neighbours or real
    /// servers, at info refused packets, at debug those that pass to the kernel, at trace the forwarded ones. The level
    /// is set when the programs are loaded; with off packets pay nothing. Of a flood some lines are left out, and
    /// counted.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub(crate) program_log: ProgramLogLevel,

    /// Print the man page or the completion of a shell: man, bash, zsh or fish
    #[arg(long, value_name = "WHAT")]
    pub(crate) generate: Option<Document>,

    /// Print help (-h in short)
    #[arg(long, short, short_alias = '?', action = ArgAction::Help)]
    help: Option<bool>,

    /// Print the version
    #[arg(long, short, short_alias = 'V', action = ArgAction::Version)]
    version: Option<bool>,
}

/// Levels of the programs' own log, numbered as aya-log does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgramLogLevel {
    #[default]
    Off = 0,
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
    Trace = 5,
}

impl Arguments {
    /// True if each sync period has a packet at which a connection is sent again: the kernel's
    /// `sync_threshold` has the same bounds.
    pub(crate) const fn sync_threshold_fits(&self) -> bool {
        self.sync_period == 0 || self.sync_threshold < self.sync_period
    }

    /// Folder of files that outlive a reboot.
    pub(crate) fn state_folder(&self) -> PathBuf {
        let beside = || {
            let is_usual = self.socket == Path::new(DEFAULT_SOCKET);
            let folder = self.socket.parent().filter(|_| !is_usual);
            folder.unwrap_or(Path::new(DEFAULT_STATE)).to_owned()
        };
        self.state.clone().unwrap_or_else(beside)
    }
}

/// Its command lines.
pub(crate) const USAGE: &str = "\
lvsd [OPTIONS] [FILE] start|stop|restart|try-restart|reload|force-reload|status\n       \
lvsd [OPTIONS]    (in the foreground)\n       \
lvsd check [--strict] FILE";

pub(crate) const AFTER_HELP: &str = "\
Commands, for the daemon of a FILE (as ldirectord's, whose name lvsd may be called by):
  start            start it in the background; returns when the tables are set
  stop             stop it; returns when it has ended
  restart          stop it, if it runs, and start it: services and connections stay in the kernel
  try-restart      the same, but nothing if it does not run
  reload, force-reload
                   make it read its file again; the exit status says whether the file is in effect
  status           print whether it runs
  check FILE       validate a file, and those that it names by execute: print the services that it sets up, as lines of ipvsadm, and on
                   the error output errors and warnings (exit status 2; of warnings only with
                   --strict)

Exit status: 0 done; 1 it failed, there is no such file, or (reload) the daemon does not run; 2 the
file is wrong: nothing was changed; 255 a wrong command line. Of status: 0 it runs; 1 it ended
without removing its pid file; 3 it does not run.

The log of a daemon in the background is in its file's `logfile`, or /var/log/ldirectord.log. Under
systemd it is in the journal, where changes have fields: journalctl LVS_SERVER=10.0.0.11:80, also
LVS_SERVICE=tcp:192.0.2.10:80, LVS_EVENT=down and LVS_REASON.

Signals:
  SIGTERM, SIGINT  stop: hand the virtual addresses over to a peer or remove them (but see
                   --keep-addresses), and withdraw the services of an ldirectord.cf (but see its
                   cleanstop); the kernel goes on forwarding for all others (but see
                   --detach-on-exit)
  SIGHUP           read the configuration again
  SIGUSR2          end and withdraw nothing, for another lvsd to go on

Examples:
  lvsd www.cf start
  lvsadm status

  lvsd --interface eth0 &
  lvsadm -A -t 192.0.2.10:80 -s wlc
  lvsadm -a -t 192.0.2.10:80 -r 10.0.0.1 -g
  lvsadm -a -t 192.0.2.10:80 -r 10.0.0.2 -g
  lvsadm -Ln --stats

The virtual address has to reach this machine (be one of its own, or routed to it), as with IPVS.
The program needs Linux 6.1 or newer and the capabilities CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON; to
ping real servers CAP_NET_RAW, and for checkpath = service CAP_SYS_ADMIN too, which is given up
after the start.";

/// `NAME=VALUE` of a setting that takes the value.
fn sysctl(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "a setting is written NAME=VALUE".to_owned())?;
    let found = Name::find(name.trim()).map_err(|error| error.to_string())?;
    found.parse(value).map_err(|error| error.to_string())?;
    Ok((found.sysctl().name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_sent_within_each_period() {
        let fits = |words: &[&str]| {
            let words = ["lvsd"].into_iter().chain(words.iter().copied());
            Arguments::parse_from(words).sync_threshold_fits()
        };
        assert!(fits(&[]));
        assert!(fits(&["--sync-threshold=0", "--sync-period=1"]));
        assert!(fits(&["--sync-threshold=9", "--sync-period=0"]));
        assert!(!fits(&["--sync-threshold=50"]));
        assert!(!fits(&["--sync-threshold=51"]));
    }

    #[test]
    fn another_socket_is_another_directors_and_so_is_its_state() {
        let folder = |words: &[&str]| {
            let words = ["lvsd"].into_iter().chain(words.iter().copied());
            Arguments::parse_from(words).state_folder()
        };
        assert_eq!(folder(&[]), Path::new("/var/lib/lvs"));
        assert_eq!(
            folder(&["--socket", "/run/b/lvsd.sock"]),
            Path::new("/run/b")
        );
        let named = folder(&["--socket", "/run/b/lvsd.sock", "--state", "/srv/b"]);
        assert_eq!(named, Path::new("/srv/b"));
    }
}
