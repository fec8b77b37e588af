//! `-h` and `-v`.

use std::io::{self, Write};
use std::path::Path;

/// Help of `ipvsadm-save`.
pub(super) const SAVE: &str = "\
ipvsadm-save: prints the services as commands for ipvsadm-restore
   -n   with addresses and ports as numbers";

/// Version line; called as `ipvsadm`, that of ipvsadm, for scripts.
pub(super) fn version(program: &str) -> String {
    if is_ipvsadm(program) {
        "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)".to_owned()
    } else {
        format!(
            "lvsadm {} (compatible with ipvsadm 1.31)",
            env!("CARGO_PKG_VERSION")
        )
    }
}

fn is_ipvsadm(program: &str) -> bool {
    Path::new(program)
        .file_name()
        .is_some_and(|name| name == "ipvsadm")
}

/// Prints the whole help.
pub(super) fn print(out: &mut impl Write, program: &str) -> io::Result<()> {
    writeln!(out, "{}", version(program))?;
    let name = if is_ipvsadm(program) {
        "ipvsadm"
    } else {
        "lvsadm"
    };
    let (before, after) = HELP.split_once(VERBS).unwrap_or((HELP, ""));
    // ipvsadm has no verbs.
    let verbs = if is_ipvsadm(program) {
        String::new()
    } else {
        format!(
            "Verbs (see `{name} VERB --help`):\n{}",
            crate::verbs::verbs_help()
        )
    };
    let after = if is_ipvsadm(program) {
        after.replace(GENERATE, "")
    } else {
        after.to_owned()
    };
    write!(out, "{}", before.replace("PROGRAM", name))?;
    write!(out, "{verbs}{}", after.replace("PROGRAM", name))
}

/// The help before and after the part about verbs, for the man page.
pub(crate) fn parts() -> (String, String) {
    let (before, after) = HELP.split_once(VERBS).unwrap_or((HELP, ""));
    (before.replace("PROGRAM", "lvsadm"), after.to_owned())
}

/// The options that ipvsadm does not have.
const GENERATE: &str = "\
  --generate WHAT               print the man page or a shell's completion: man, bash, zsh, fish
";

/// Place of the part about verbs.
const VERBS: &str = "VERBS\n";

const HELP: &str = "\
Administers the virtual services of a running director (lvsd).

A virtual service is what clients talk to; the director hands each of its connections to one of its
real servers. Three commands make a web service with two servers, and one shows it:
  PROGRAM -A -t 192.0.2.10:80 -s wlc
  PROGRAM -a -t 192.0.2.10:80 -r 10.0.0.1 -g
  PROGRAM -a -t 192.0.2.10:80 -r 10.0.0.2 -g -w 2
  PROGRAM -L -n --stats

Usage: PROGRAM COMMAND [OPTION...]   (without a command: list everything)

Services:
  -A, --add-service SERVICE     add a virtual service
        [-s SCHEDULER] [-p [SECONDS]] [-M NETMASK] [-o] [--pe ENGINE] [-b FLAGS]
        [--redispatch yes|no] [--ondown keep|reschedule|reset] [--idle-timeout TCP,TCPFIN,UDP]
  -E, --edit-service SERVICE    set it again: options that are not given get their defaults
  -D, --delete-service SERVICE  delete it with its real servers
  -C, --clear                   delete all services
Real servers:
  -a, --add-server SERVICE -r SERVER     add a real server
        [-g|-i|-m] [-w WEIGHT] [-x UPPER] [-y LOWER] [--snat SOURCE] [TUNNEL OPTIONS]
  -e, --edit-server SERVICE -r SERVER    set it again, as -E; `-w 0` drains it
  -d, --delete-server SERVICE -r SERVER  delete it: see --ondown for its connections
Looking:
  -L, -l, --list [SERVICE]      services and real servers, with one of
        --stats                 counters since the last -Z
        --rate                  the same per second
        --thresholds            limits on connections
        --persistent-conn       persistence entries
        --tun-info              encapsulation of tunnels
  -L, --list -c                 connections
  -L, --list --timeout          timeouts
  -L, --list --daemon           running synchronization
  --verdicts [-X]               number of packets by verdict (-X: also verdicts without packets)
  --status                      the director itself: interfaces, tables, unresolved next hops
VERBS
Everything else:
  -Z, --zero [SERVICE]          set the counters to zero
  --set TCP TCPFIN UDP          timeouts in seconds; 0 leaves one as it is
  --mark MARK SERVICE|--destination NETWORK [PACKETS]
        packets to this address and port, or to this network, carry the mark; none: they carry
        none; 0: the rule is removed; of several rules that match a packet the last one set holds
        (netfilter would mark them only after the director has seen them)
        PACKETS: --protocol tcp|udp|sctp  --dport PORT[:PORT]  --source NETWORK
                 --sport PORT[:PORT]  --in-interface NAME (NA+: all that begin so)
  --list-marks                  list the rules of --mark
  --import-marks                make rules of what `iptables-save -t mangle` prints (from stdin),
        following its chains; exit code 1 if a rule that sets a mark, or decides which packets
        come to one, was left out
  -S, --save [-n]               print the services as commands
  -R, --restore [--atomic]      execute the commands on standard input, one a line; with --atomic
                                all of them or, if one is refused, none: only changes of services
                                and real servers, not -Z, --set, --mark or --sysctl
  --sysctl [NAME[=VALUE]]       the settings of net.ipv4.vs: list all, those that cannot be set with
                                the reason; show one; set one, which is kept over a restart
  --proc ip_vs|ip_vs_conn|ip_vs_conn_sync|ip_vs_stats|ip_vs_stats_percpu
                                what the kernel's IPVS has in this file of /proc/net
  --start-daemon master|backup, --stop-daemon master|backup
                                replicate connections by the protocol of the kernel's IPVS:
                                multicast, not encrypted (for lvsd's own, see `lvsd --peer`)
  -h, --help                    print this
  -v, --version                 print the version
  --generate WHAT               print the man page or a shell's completion: man, bash, zsh, fish

SERVICE is one of
  -t, --tcp-service HOST[:PORT]   -u, --udp-service HOST[:PORT]   --sctp-service HOST[:PORT]
  -f, --fwmark-service MARK [-6]  packets with this mark (see --mark), -6 for those of IPv6
  IPv6 is written [2001:db8::1]:80. Port 0 stands for every port and asks for -p.
SERVER is HOST[:PORT]; without a port it has the service's.

Options of services:
  -s, --scheduler NAME      how servers are chosen; wlc unless given (see below)
  -p, --persistent [SECS]   connections of a client stay with its server; 360 unless given
  -M, --netmask MASK        clients are grouped by it: 255.255.255.0, or a prefix length for IPv6
  -o, --ops                 each packet is scheduled on its own (UDP)
  --pe ENGINE               with -p, sip: messages of a client (or its network, -M) with the same
                            Call-ID go to one server (UDP)
  -b, --sched-flags LIST    sh-fallback,sh-port (sh), mh-fallback,mh-port (mh), flag-1,flag-2,flag-3
  --redispatch yes|no       a SYN after one that was not answered, or by NAT refused, goes to
                            another server (no)
  --ondown WHAT             connections of a server that is deleted or down (keep). keep: their
                            packets are dropped until it is back. reschedule: a SYN or datagram goes
                            to another server, anything else is answered with a reset
                            (expire_nodest_conn). reset: the same, and both sides are reset at once
  --idle-timeout T,F,U      seconds without a packet after which connections are forgotten:
                            established and closing TCP, UDP; 0 for those of --set
  With -E these three stay as they are unless given; -S prints them where they are set.
Schedulers: rr and wrr take turns, lc and wlc choose the fewest connections, sed the fewest
established ones, nq an idle server first, twos the better of two at random; fo the heaviest
server, ovf the heaviest that is not full; lblc and lblcr keep a destination's servers; sh and mh
hash the client, dh the service's address. The w in front: by weight; so do sed, nq and twos.

Options of real servers:
  -g, --gatewaying          direct routing (unless another is given): same network, same port
  -i, --ipip                tunnel: the packet goes inside another one
  -m, --masquerading        NAT: address and port are rewritten, replies come back this way
  --snat SOURCE             with -m, full NAT: the server sees an address of the director, so its
                            replies come back without a route. SOURCE is auto (the address of the
                            route to it) or ADDRESS[-ADDRESS], and :PORT-PORT may follow
  -w, --weight N            share of new connections; 1 unless given, 0 for none
  -x, --u-threshold N       no more new connections than this
  -y, --l-threshold N       until there are fewer than this again
  --tun-type ipip|gue|gre   with -i, encapsulation; gue (UDP) needs --tun-port PORT
  --tun-nocsum, --tun-csum, --tun-remcsum     its checksum over the packet inside: none, or one

Options of listings:
  -n, --numeric     no names of hosts and ports: quick
  -X, --exact       numbers in full
  --nosort          in the director's own order

  --socket PATH     control socket of lvsd (also in LVS_SOCKET); /run/lvs/lvsd.sock unless given
  --timeout TIME    before the command: lvsd has to answer within it (3, 500ms); 10s unless given

Exit status: 0 done; 1 nothing to list; 2 a wrong command line, or no lvsd; 255 refused.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_version() {
        assert_eq!(
            version("/sbin/ipvsadm"),
            "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)"
        );
        assert!(version("lvsadm").ends_with(" (compatible with ipvsadm 1.31)"));
    }

    #[test]
    fn help_begins_with_the_version_and_keeps_to_a_hundred_columns() {
        let mut out = Vec::new();
        print(&mut out, "lvsadm").expect("memory takes it");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with(&version("lvsadm")));
        assert!(!text.contains("PROGRAM"));
        assert!(text.lines().all(|line| line.len() <= 100));
        assert!(text.contains("  drain REAL"));
    }

    #[test]
    fn ipvsadm_has_no_verbs() {
        let mut out = Vec::new();
        print(&mut out, "/sbin/ipvsadm").expect("memory takes it");
        let text = String::from_utf8(out).expect("text");
        assert!(!text.contains("drain REAL"));
        assert!(text.contains("Everything else:\n  -Z, --zero"));
        assert!(text.contains("--verdicts"));
    }
}
