//! Command lines that are wrong.

use super::super::*;
use super::parsed;

const TRY_HELP: &str = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";

/// Command line, exit code, message: each was seen from ipvsadm 1.31.
#[rustfmt::skip]
const WRONG: &[(&str, u8, &str)] = &[
    // The command comes first, and alone.
    ("foo", 255, TRY_HELP),
    ("-t 1.2.3.4:80 -A", 255, TRY_HELP),
    ("--foo", 255, TRY_HELP),
    ("-6 -L", 255, TRY_HELP),
    ("-6L", 255, TRY_HELP),
    ("--sort -L", 255, TRY_HELP),
    ("-n", 255, TRY_HELP),
    ("-w", 255, TRY_HELP),
    ("-- -L", 255, TRY_HELP),
    ("--list=3", 255, TRY_HELP),
    ("--vers", 255, TRY_HELP),
    ("--set=1 2 3", 255, TRY_HELP),
    ("--start-daemon", 255, TRY_HELP),
    ("-A -D", 2, "invalid option `-D'"),
    ("-A --add-service", 2, "invalid option `--add-service'"),
    ("-A -t 1.2.3.4:80 -h", 2, "invalid option `-h'"),
    ("-LC", 2, "invalid option `-LC'"),
    ("-Ln -C", 2, "invalid option `-C'"),
    ("--start-daemon backup --stop-daemon master", 2, "invalid option `master'"),
    // Words and switches.
    ("-A foo", 2, "unexpected argument foo"),
    ("-A -t 1.2.3.4:99 foo", 2, "unexpected argument foo"),
    ("/sbin/ipvsadm -A -t 1.2.3.4:80", 2, "unexpected argument /sbin/ipvsadm"),
    ("-A -t 1.2.3.4:100 -", 2, "unexpected argument -"),
    ("-A -t 1.2.3.4:98 -p -- 300", 2, "unexpected argument 300"),
    ("-A -t 1.2.3.4:80 # foo", 2, "unexpected argument #"),
    ("-L -- -n", 2, "unexpected argument -n"),
    ("--set 1 2 3 4 -n", 2, "unexpected argument 4"),
    ("-A --foo", 255, "--foo: unknown option"),
    ("-L --foo=bar", 255, "--foo=bar: unknown option"),
    ("-LnQ", 255, "-LnQ: unknown option"),
    ("-A -t 1.2.3.4:101 -p -1", 255, "-1: unknown option"),
    ("--set 0 0 -1", 255, "-1: unknown option"),
    ("-A -t", 255, "-t: missing argument"),
    ("-Lx", 255, "-Lx: missing argument"),
    ("-L --scheduler", 255, "--scheduler: missing argument"),
    ("-L --stats=3", 255, "--stats=3: option does not take an argument"),
    ("-Ln=3", 255, "-Ln=3: option does not take an argument"),
    // Which options go with which command; the first in ipvsadm's order is named.
    ("-A", 2, "You need to supply the 'service-address' option for the 'add-service' command"),
    ("-E", 2, "You need to supply the 'service-address' option for the 'edit-service' command"),
    ("-D", 2, "You need to supply the 'service-address' option for the 'delete-service' command"),
    ("-a -o", 2, "You need to supply the 'service-address' option for the 'add-server' command"),
    ("-a -t 1.2.3.4:81", 2, "You need to supply the 'real-server' option for the 'add-server' command"),
    ("-d -t 1.2.3.4:80", 2, "You need to supply the 'real-server' option for the 'delete-server' command"),
    ("-A -t 1.2.3.4:8 -w 1 -x 1 -n", 2, "Illegal 'numeric' option with the 'add-service' command"),
    ("-A -t 1.2.3.4:81 -w 1", 2, "Illegal 'weight' option with the 'add-service' command"),
    ("-A -t 1.2.3.4:8 -g", 2, "Illegal 'forwarding-method' option with the 'add-service' command"),
    ("-a -t 1.2.3.4:8 -s rr", 2, "Illegal 'scheduler' option with the 'add-server' command"),
    ("-d -t 1.2.3.4:8 -r 1.1.1.1 -i", 2, "Illegal 'forwarding-method' option with the 'delete-server' command"),
    ("-D -t 1.2.3.4:80 -s rr", 2, "Illegal 'scheduler' option with the 'delete-service' command"),
    ("-C -n", 2, "Illegal 'numeric' option with the 'flush' command"),
    ("-C --tun-info --mcast-group 224.0.0.1", 2, "Illegal 'mcast-group' option with the 'flush' command"),
    ("-L -s rr", 2, "Illegal 'scheduler' option with the 'list' command"),
    ("-Lx 4", 2, "Illegal 'u-threshold' option with the 'list' command"),
    ("-S -t 1.2.3.4:80", 2, "Illegal 'service-address' option with the 'save' command"),
    ("-S --nosort", 2, "Illegal 'nosort' option with the 'save' command"),
    ("-R -n", 2, "Illegal 'numeric' option with the 'restore' command"),
    ("-Z -t 1.2.3.4:80 -n", 2, "Illegal 'numeric' option with the 'zero' command"),
    ("--set 1 2 3 -t 1.2.3.4:80", 2, "Illegal 'service-address' option with the 'set' command"),
    ("--start-daemon master -c", 2, "Illegal 'connection' option with the 'start-daemon' command"),
    ("--stop-daemon master --mcast-interface lo", 2, "Illegal 'mcast-interface' option with the 'stop-daemon' command"),
    ("-A -u 1.2.3.4:80 -t 1.2.3.4:80", 2, "multiple 'service-address' options specified"),
    ("-A -f 5 -t 1.2.3.4:8", 2, "multiple 'service-address' options specified"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.1 -m -g", 2, "multiple 'forwarding-method' options specified"),
    ("-A -t 1.2.3.4:80 -s sh -s rr", 2, "multiple 'scheduler' options specified"),
    ("-Ln -n", 2, "multiple 'numeric' options specified"),
    // Listings of different things.
    (
        "-Lcn -t 1.2.3.4:80",
        2,
        "The option 'service-address' conflicts with the 'connection' option in the 'list' command",
    ),
    ("-L --timeout --daemon", 2, "The option 'daemon' conflicts with the 'timeout' option in the 'list' command"),
    (
        "-Ln --timeout -c --daemon",
        2,
        "The option 'timeout' conflicts with the 'connection' option in the 'list' command",
    ),
    (
        "-L --daemon -t 1.2.3.4:80",
        2,
        "The option 'daemon' conflicts with the 'service-address' option in the 'list' command",
    ),
    ("-Lc --stats", 2, "options conflicts in the list command"),
    ("-Lc --thresholds", 2, "options conflicts in the list command"),
    ("-L --timeout --persistent-conn", 2, "options conflicts in the list command"),
    // Values.
    ("-A --tcp-service=", 2, "illegal virtual server address[:port] specified"),
    ("-A -t [::1]", 2, "illegal virtual server address[:port] specified"),
    ("-a -t 1.2.3.4:80 -r [::1]", 2, "illegal real server address[:port] specified"),
    ("-a -t 1.2.3.4:80 -r 1.1.1.1:99999", 2, "illegal real server address[:port] specified"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.1 -w -1", 2, "illegal weight specified"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.1 -w 2147483648", 2, "illegal weight specified"),
    ("-A -t 1.2.3.4:91 -w 5x foo --bar", 2, "illegal weight specified"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.1 -x 2147483648", 2, "illegal u_threshold specified"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.1 -y 5x", 2, "illegal l_threshold specified"),
    ("-A -t 1.2.3.4:91 -p 0", 2, "invalid timeout value `0' specified"),
    ("-A -t 1.2.3.4:91 -p 2678401", 2, "invalid timeout value `2678401' specified"),
    ("-A -t 1.2.3.4:91 -p=", 2, "invalid timeout value `' specified"),
    ("-A -t 1.2.3.4:91 -p ''", 2, "invalid timeout value `' specified"),
    ("-A -t 1.2.3.4:103 -ps rr", 2, "invalid timeout value `s' specified"),
    ("--set foo bar baz qux", 2, "invalid timeout value `foo' specified"),
    ("--set 2678400 2678401 3", 2, "invalid timeout value `2678401' specified"),
    ("--set 1 2", 2, "--set option requires 3 timeout values"),
    ("--set -n 1 2", 2, "--set option requires 3 timeout values"),
    ("-A -f 0x3", 2, "invalid fwmark value `0x3' specified"),
    ("-A -f 0", 2, "invalid fwmark value `0' specified"),
    ("-A -f 4294967296", 2, "invalid fwmark value `4294967296' specified"),
    ("-A -t 1.2.3.4:80 -M 255.255.255.0.1", 2, "illegal virtual server persistent mask specified"),
    ("-A -t [::1]:80 -M 129", 2, "illegal ipv6 netmask specified"),
    ("-A -f 3 -6 -p -M 255.255.255.0", 2, "illegal ipv6 netmask specified"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.3 -i --tun-type xx", 2, "illegal tunnel type specified"),
    ("-a -t 1.2.3.4:80 -r 1.1.1.1 --tun-port 0", 2, "illegal tunnel port specified"),
    ("-A -b foo", 2, "invalid scheduler flag `foo'"),
    ("-A -t 1.2.3.4:93 -b sh-port", 2, "incompatible scheduler flag `sh-port'"),
    ("--start-daemon x", 2, "illegal start-daemon parameter specified"),
    ("--stop-daemon both", 2, "illegal start_daemon specified"),
    ("--start-daemon master --syncid 256", 2, "illegal syncid specified"),
    ("--start-daemon master --mcast-port 0", 2, "illegal mcast-port specified"),
    ("--start-daemon master --mcast-ttl 256", 2, "illegal mcast-ttl specified"),
    ("--start-daemon master --sync-maxlen 65508", 2, "illegal sync-maxlen specified"),
    ("--start-daemon master --mcast-group 1.2.3.4", 2, "invalid IPv4 mcast-group `1.2.3.4'"),
    ("--start-daemon master --mcast-group 2001:db8::1", 2, "invalid IPv6 mcast-group `2001:db8::1'"),
    // Things that do not go together.
    ("-A -6 -f 3", 2, "-6 used before -f\n"),
    ("-A -t 1.2.3.4:8 -6", 2, "-6 used before -f\n"),
    ("-A -t 1.2.3.4", 2, "Zero port specified for non-persistent service"),
    ("-E -t ::1", 2, "Zero port specified for non-persistent service"),
    ("-A -t 1.2.3.4 -o", 2, "Zero port specified for non-persistent service"),
    ("-A -t 1.2.3.4:90 -o", 2, "One-Packet Scheduling is only for UDP virtual services"),
    ("-a -t 1.2.3.4:80 -r ::1 --tun-type gue", 2, "Different address family is allowed only for tunneling servers"),
    ("-a -f 7 -r fd00::1", 2, "Different address family is allowed only for tunneling servers"),
    ("-a -t 1.2.3.4:80 -r 10.0.0.3 --tun-type ipip", 2, "Tunnel options conflict with forward method"),
    ("-a -t 1.2.3.4:80 -r 1.1.1.1 -m --tun-csum", 2, "Tunnel options conflict with forward method"),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-type gue --tun-csum --tun-nocsum",
        2,
        "You need to supply the 'tun-port' option for the 'gue' tunnel type",
    ),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-type gre --tun-port 1 --tun-remcsum",
        2,
        "Illegal 'tun-port' option with the 'gre' tunnel type",
    ),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-type gre --tun-csum --tun-remcsum",
        2,
        "Illegal 'tun-remcsum' option with the 'gre' tunnel type",
    ),
    ("-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-csum", 2, "Illegal 'tun-csum' option with the 'ipip' tunnel type"),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-port 1 --tun-csum",
        2,
        "Illegal 'tun-port' option with the 'ipip' tunnel type",
    ),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-type gue --tun-port 1 --tun-csum --tun-remcsum",
        2,
        "The option 'tun-remcsum' conflicts with the 'tun-csum' option in the 'gue' tunnel type",
    ),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-type gue --tun-port 1 --tun-nocsum --tun-remcsum",
        2,
        "The option 'tun-remcsum' conflicts with the 'tun-nocsum' option in the 'gue' tunnel type",
    ),
    (
        "-a -t 1.2.3.4:80 -r 1.1.1.1 -i --tun-type gre --tun-csum --tun-nocsum",
        2,
        "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gre' tunnel type",
    ),
];

#[test]
fn wrong_command_lines_are_answered_as_ipvsadm_answers() {
    for (line, code, text) in WRONG {
        let error = parsed(line).expect_err(line);
        assert_eq!(
            (error.to_string().as_str(), error.exit_code()),
            (*text, *code),
            "{line}"
        );
    }
}

#[test]
fn masks_with_holes_are_refused_unlike_by_ipvsadm() {
    for mask in ["24", "255.0.255.0"] {
        let line = format!("-A -t 1.2.3.4:91 -p -M {mask}");
        assert_eq!(parsed(&line), Err(UsageError::Netmask));
    }
}
