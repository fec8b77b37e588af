//! Lines of `ldirectord.cf`: accepted by both, refused by both, accepted by one.

/// The place of a line in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// At the beginning of a file with one virtual service.
    Global,
    /// Below a virtual service with a real server.
    Section,
    /// Below a virtual service without one.
    Real,
    /// Below an IPv6 virtual service.
    Section6,
    /// Instead of the line that begins the virtual service.
    Virtual,
    /// The same with an IPv6 real server below.
    Virtual6,
}

use At::{Global, Real, Section, Section6, Virtual, Virtual6};

/// Both take them.
pub(crate) const ACCEPTED: &[(At, &[&str])] = &[
    (
        Global,
        &[
            "checktimeout=5",
            "checktimeout = 5",
            "checktimeout=abc5",
            "checktimeout=5s",
            "checktimeout=5 # x",
            "negotiatetimeout=3",
            "checkinterval=1.5",
            "checkcount=3",
            "failurecount=2",
            "autoreload = no",
            "callback=\"/bin/true x\"",
            "callback=\"\"",
            "fallback=127.0.0.1",
            "fallback=127.0.0.1:80 masq",
            "fallback=localhost",
            "fallback=127.0.0.1:80 gate, 127.0.0.2:80 masq",
            "fallback=",
            "fallback6=[::1]:80",
            "fallback6=[::1]",
            "fallbackcommand=/bin/true a b",
            "fallbackcommand=\"/bin/true\"",
            "logfile=\"local0\"",
            "emailalert=\"a@b, c@d\"",
            "emailalert=a@b",
            "emailalertfrom=\"x\" <a@b>",
            "emailalertfreq=0",
            "emailalertstatus=all,running",
            "emailalertstatus=running, stopping",
            "emailalertstatus=none",
            "emailalertstatus=",
            "smtp=mail.example.com",
            "execute=foo",
            "execute=",
            "supervised",
            "supervised=no",
            "fork=yes",
            "quiescent=yes",
            "readdquiescent=yes",
            "cleanstop=no",
            "maintenancedir=/does/not/exist",
            "    # a comment",
        ],
    ),
    (
        Section,
        &[
            "checktype=connect",
            "checktype = external-perl",
            "checktype=5",
            "checktype=0",
            "checktype=5x",
            "checktype=\"connect\"",
            "checktype=connect # c",
            "service=http_proxy",
            "service=\"http\"",
            "checkcommand=/bin/true a b",
            "checkcommand=\"/bin/true\"",
            "checkcommand=/no/such",
            "checkport=65535",
            "checktimeout=3",
            "failurecount=2",
            "checkcount=2",
            "checkinterval=5",
            "request=\"x\"",
            "request=\"a\"b\"",
            "request=\"a\" b",
            "receive=\"a.*(b|c)$\"",
            "httpmethod=head",
            "httpmethod=\"GET\"",
            "virtualhost=www x",
            "virtualhost=\"www\"",
            "virtualhost=",
            "login=\"x\"",
            "passwd=\"x\"",
            "database=\"x\"",
            "secret=\"x\"",
            "load=\"x\"",
            "scheduler=wlc",
            "scheduler=\"rr\"",
            "scheduler=rr1",
            "schedflags=flag-1",
            "persistent=600",
            "persistent=0",
            "persistent=600s",
            "netmask=255.255.255.0",
            "protocol=\"tcp\"",
            "protocol=udp",
            "ops=no",
            "fallback=127.0.0.1",
            "fallbackcommand=/bin/x y",
            "quiescent=no",
            "cleanstop=yes",
            "emailalert=a@b",
            "emailalertfreq=6",
            "emailalertstatus=none",
            "smtp=192.0.2.1",
            "servicename=Web Site",
            "servicename=",
            "comment=x y",
            "     request=\"x\"",
        ],
    ),
    (
        Real,
        &[
            "real=10.0.0.2:80 gate",
            "real=10.0.0.2 gate",
            "real=10.0.0.2:http gate",
            "real=10.0.0.2:0 gate",
            "real=10.0.0.2:80 gate 0",
            "real=10.0.0.2:80 gate 5 \"a\",\"b\"",
            "real=10.0.0.2:80 gate 5 \"a\", \"b\"",
            "real=10.0.0.2:80 gate 5 \"a\" \"b\"",
            "real=10.0.0.2:80 gate \"a\",\"b\"",
            "real=10.0.0.2:80 gate 5 \"/a\",\"b\" l:5 u:9",
            "real=10.0.0.2:80 gate l:5 u:9",
            "real=10.0.0.2:80 gate u:9",
            "real = 10.0.0.2:80   ipip   5",
            "real=10.0.0.2->10.0.0.5:80 gate",
            "real=10.0.0.9->10.0.0.12:80 masq",
            "real=10.0.0.2:80->10.0.0.5:80 gate",
            "real=localhost:80 gate",
            "real=10.0.0.2::80 gate",
            "real=10.0.0.2:80 masq 70000",
            "real=10.0.0.2:80 gate 5#c",
        ],
    ),
    (
        Section6,
        &[
            "real6=[fd00::3] gate",
            "real6=[fd00::3]:http gate 5 \"a\",\"b\" l:1 u:5",
            "fallback6=[::1]:80",
            "netmask=64",
        ],
    ),
    (
        Virtual,
        &[
            "virtual=10.0.0.1:http",
            "virtual=10.0.0.1:0",
            "virtual=5",
            "virtual=06",
            "virtual=4294967295",
            "virtual=localhost:80",
            "virtual = 10.0.0.1:81",
            "virtual=10.0.0.1:82 # c",
            "virtual=10.0.0.1:83 x",
            "virtual=10.0.0.1:domain",
        ],
    ),
    (
        Virtual6,
        &[
            "virtual6=[fd00::1]:80",
            "virtual6=[fd00::1]:https",
            "virtual6=5",
        ],
    ),
];

/// Both refuse them, with the same line.
pub(crate) const REFUSED: &[(At, &[&str])] = &[
    (
        Global,
        &[
            "checktimeout=0",
            "checktimeout=",
            "checktimeout 5",
            "Checktimeout=5",
            "negotiatetimeout=0",
            "checkinterval=0",
            "checkcount=0",
            "failurecount=0",
            "autoreload=YES",
            "autoreload=",
            "callback=/bin/true",
            "fallback=127.0.0.1:80 frob",
            "fallback=127.0.0.1:99999",
            "fallback=nosuch.invalid:80",
            "fallback=[::1]:80",
            "fallback6=::1",
            "fallback6=127.0.0.1:80",
            "fallbackcommand=",
            "logfile=local0",
            "emailalert=",
            "emailalertfreq=x",
            "emailalertstatus=none,running",
            "emailalertstatus=frob",
            "smtp=",
            "supervised=maybe",
            "fork=1",
            "maintenancedir=",
            "frob=1",
            "checktype=on",
        ],
    ),
    (
        Section,
        &[
            "checktype=Connect",
            "checktype=",
            "service=HTTP",
            "service=",
            "checkcommand=",
            "checkport=http",
            "checkport=0",
            "checkport=65536",
            "checktimeout=0",
            "request=x",
            "request=\"",
            "request=\"\"",
            "receive=\"\"",
            "httpmethod=POST",
            "login=x",
            "passwd=\"\"",
            "scheduler=RR",
            "schedflags=",
            "persistent=x",
            "netmask=24",
            "protocol=fwm",
            "protocol=TCP",
            "ops=y",
            "fallback6=[::1]:80",
            "fallback=x.invalid",
            "monitorfile=/no/such/dir",
            "emailalertfrom=a@b",
            "readdquiescent=yes",
            "maintenancedir=/tmp",
            "frob",
            "=x",
        ],
    ),
    (
        Real,
        &[
            "real=10.0.0.2:80",
            "real=10.0.0.2:frob gate",
            "real=10.0.0.2:65536 gate",
            "real=10.0.0.2: gate",
            "real=10.0.0.2:80 gate x",
            "real=10.0.0.2:80 gate -1",
            "real=10.0.0.2:80 gate l:x",
            "real=10.0.0.2:80 gate 5 junk",
            "real=10.0.0.2:80 gate 5 \"a,\"b\"",
            "real=10.0.0.2:80 Gate",
            "real=10.0.0.5->10.0.0.2:80 gate",
            "real=nosuch.invalid:80 gate",
            "real=[fd00::2]:80 gate",
            "real6=[fd00::2]:80 gate",
            "real=",
            "real",
            "real=10.0.0.2:80 gate 5.5",
        ],
    ),
    (
        Section6,
        &[
            "real6=fd00::2 gate",
            "real6=[fd00::2]->[fd00::5]:80 gate",
            "real=10.0.0.2:80 gate",
            "fallback=127.0.0.1:80",
            "netmask=0",
            "netmask=255.255.255.0",
        ],
    ),
    (
        Virtual,
        &[
            "virtual=10.0.0.1:frob",
            "virtual=10.0.0.1:65536",
            "virtual=-1",
            "virtual=localhost",
            "virtual=nosuch.invalid:80",
            "virtual=[fd00::1]:80",
            "virtual=",
            "virtual",
            "virtual=\"10.0.0.1:80\"",
        ],
    ),
    (
        Virtual6,
        &[
            "virtual6=[fd00::1]",
            "virtual6=fd00::1",
            "virtual6=[fd00::x]:80",
        ],
    ),
];

/// Only this director takes them: what was meant is clear, or the keyword is new.
pub(crate) const ONLY_HERE: &[(At, &[&str])] = &[
    (
        Global,
        &[
            "autoreload=yes ",
            "autoreload=yes # x",
            "timeout=10",
            "connecttimeout=3",
            "fallback=127.0.0.1:http",
            "fallback6=[::1]:http gate",
            "emailalertstatus=\"all\"",
            "smtp=\"mail\"",
            "rise=2",
            "checksource=192.0.2.1",
        ],
    ),
    (
        Section,
        &[
            "quiescent=yes ",
            "quiescent=yes # x",
            "receive=\"a#b\"",
            "timeout=5",
            "interval=500ms",
            "check=connect checkport=22",
            "status=200-299, 304",
        ],
    ),
    (
        Real,
        &[
            "real=10.0.0.2:80 gate \"a\"",
            "real=10.0.0.2:80 gate backup=yes",
        ],
    ),
];

/// Only ldirectord takes them. Each is a file that cannot do what was meant.
pub(crate) const ONLY_THERE: &[(At, &[&str])] = &[
    // Nobody gets the mails.
    (Global, &["emailalert=\""]),
    (
        Section,
        &[
            // The check dies at every probe.
            "receive=\"(x\"",
            // ipvsadm refuses these.
            "scheduler=frob",
            "netmask=255.255.255.256",
            "netmask=255.0.255.0",
            "schedflags=\"x\"",
        ],
    ),
    (
        Real,
        &[
            // The kernel refuses these.
            "real=10.0.0.2:80 gate l:9 u:5",
            "real=10.0.0.2:80 gate 99999999999",
        ],
    ),
    (
        Virtual,
        &[
            // Firewall mark 10.
            "virtual=10.9.9.9",
            // Firewall mark 7.
            "virtual=7x",
            // Firewall mark 0, which marks no packet.
            "virtual=0",
        ],
    ),
];

/// A file around a line, with the number of that line.
pub(crate) fn file(at: At, line: &str, port: usize) -> (String, usize) {
    let virtual4 = format!("virtual=192.0.2.1:{port}");
    let virtual6 = format!("virtual6=[2001:db8::1]:{port}");
    match at {
        Global => (
            format!("{line}\n\n{virtual4}\n\treal=10.0.0.2:80 gate\n"),
            1,
        ),
        Section => (
            format!("{virtual4}\n\treal=10.0.0.2:80 gate\n\t{line}\n"),
            3,
        ),
        Real => (format!("{virtual4}\n\t{line}\n"), 2),
        Section6 => (
            format!("{virtual6}\n\treal6=[fd00::2]:80 gate\n\t{line}\n"),
            3,
        ),
        Virtual => (format!("{line}\n\treal=10.0.0.2:80 gate\n"), 1),
        Virtual6 => (format!("{line}\n\treal6=[fd00::2]:80 gate\n"), 1),
    }
}

pub(crate) fn cases(table: &'static [(At, &[&str])]) -> impl Iterator<Item = (At, &'static str)> {
    table
        .iter()
        .flat_map(|(at, lines)| lines.iter().map(|line| (*at, *line)))
}
