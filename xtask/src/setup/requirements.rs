//! Required programs: their purpose, and the Debian packages that contain them.

use std::fs;
use std::path::Path;

use crate::shell;
use crate::toolchain::{self, Compiler};

/// The purpose of a requirement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building lvsd.
    Build,
    /// The lab of network namespaces.
    Lab,
    /// Tests of health checks: a real server of each kind.
    HealthChecks,
    /// Tests of metrics and page: a browser, and programs that read metrics.
    Web,
    /// Tests on another kernel, in a virtual machine.
    Vm,
    /// Tests with init systems and cluster managers.
    Cluster,
    /// Packages.
    Package,
}

/// A required program or set of programs.
pub(super) struct Requirement {
    pub(super) purpose: Purpose,
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    /// The Debian packages that contain it.
    pub(super) packages: &'static [&'static str],
    /// The test for it, if it is not a program named `what`.
    found: Option<fn() -> bool>,
}

impl Requirement {
    pub(super) fn is_present(&self) -> bool {
        match self.found {
            Some(found) => found(),
            None => shell::find(self.what).is_some(),
        }
    }

    const fn found_by(mut self, found: fn() -> bool) -> Self {
        self.found = Some(found);
        self
    }
}

const fn program(
    purpose: Purpose,
    what: &'static str,
    packages: &'static [&'static str],
    why: &'static str,
) -> Requirement {
    Requirement {
        purpose,
        what,
        why,
        packages,
        found: None,
    }
}

/// Everything, in the order in which it is installed.
pub(super) const REQUIREMENTS: &[Requirement] = &[
    program(
        Purpose::Build,
        "Rust compiler for BPF",
        &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"],
        "compiles the XDP program to BPF code",
    )
    .found_by(|| Compiler::find().is_some()),
    program(
        Purpose::Build,
        "bpf-linker",
        &["llvm-22-dev", "zlib1g-dev", "g++"],
        "links the XDP program (its packages: LLVM of the compiler's version, to build it)",
    )
    .found_by(|| toolchain::linker().is_some()),
    program(
        Purpose::Lab,
        "ip",
        &["iproute2"],
        "makes the lab's network namespaces",
    ),
    program(
        Purpose::Lab,
        "ethtool",
        &["ethtool"],
        "switches offloads on the lab's veth pairs",
    ),
    program(
        Purpose::Lab,
        "nginx",
        &["nginx-light"],
        "runs the lab's real servers",
    ),
    program(Purpose::Lab, "curl", &["curl"], "is the lab's client"),
    program(
        Purpose::Web,
        "promtool",
        &["prometheus"],
        "checks metrics and alert rules",
    ),
    program(
        Purpose::Web,
        "Prometheus' client library for Python",
        &["python3-prometheus-client"],
        "reads the metrics",
    )
    .found_by(|| Path::new("/usr/lib/python3/dist-packages/prometheus_client").is_dir()),
    program(
        Purpose::Web,
        "chromium",
        &["chromium"],
        "is the browser that shows the page",
    ),
    program(
        Purpose::HealthChecks,
        "iptables",
        &["iptables"],
        "sets the firewall marks that lvsd imports",
    ),
    program(Purpose::Lab, "wrk", &["wrk"], "puts load on the lab"),
    program(
        Purpose::Lab,
        "tcpdump",
        &["tcpdump"],
        "records the packets of a director",
    ),
    program(
        Purpose::HealthChecks,
        "tmux",
        &["tmux"],
        "is the terminal of `lvsadm top`",
    ),
    program(
        Purpose::Lab,
        "faketime",
        &["faketime"],
        "sets the wall clock of one daemon",
    ),
    program(
        Purpose::HealthChecks,
        "haproxy",
        &["haproxy"],
        "is what this director is compared with; reads its configurations in the documents",
    ),
    program(
        Purpose::HealthChecks,
        "apache2",
        &["apache2-bin"],
        "is what this director is compared with",
    ),
    program(
        Purpose::HealthChecks,
        "openssl",
        &["openssl"],
        "makes the certificates of servers that are checked over TLS",
    ),
    program(
        Purpose::HealthChecks,
        "mariadbd",
        &["mariadb-server-core"],
        "is a database server to check",
    ),
    program(
        Purpose::HealthChecks,
        "mariadb",
        &["mariadb-client-core"],
        "asks that database server for its role, in a check command",
    ),
    program(
        Purpose::HealthChecks,
        "postgres",
        &["postgresql"],
        "is a database server to check",
    )
    .found_by(has_postgres),
    program(
        Purpose::HealthChecks,
        "dnsmasq",
        &["dnsmasq-base"],
        "is a name server to check",
    ),
    program(
        Purpose::HealthChecks,
        "slapd",
        &["slapd"],
        "is an LDAP server to check",
    ),
    program(
        Purpose::HealthChecks,
        "postfix",
        &["postfix"],
        "is a mail server to check",
    ),
    program(
        Purpose::HealthChecks,
        "dovecot with IMAP and POP3",
        &["dovecot-imapd", "dovecot-pop3d"],
        "is a mailbox server to check",
    )
    .found_by(|| {
        let folder = Path::new("/usr/lib/dovecot");
        shell::find("dovecot").is_some()
            && ["imap", "pop3"]
                .iter()
                .all(|name| folder.join(name).is_file())
    }),
    program(
        Purpose::HealthChecks,
        "vsftpd",
        &["vsftpd"],
        "is an FTP server to check and to balance",
    ),
    program(
        Purpose::HealthChecks,
        "freeradius",
        &["freeradius"],
        "is a RADIUS server to check",
    ),
    program(
        Purpose::HealthChecks,
        "squid",
        &["squid"],
        "is a web proxy to check",
    ),
    program(
        Purpose::HealthChecks,
        "redis-server",
        &["redis-server"],
        "is a Redis server to check",
    ),
    program(
        Purpose::HealthChecks,
        "kamailio",
        &["kamailio"],
        "is a SIP server to check",
    ),
    program(
        Purpose::HealthChecks,
        "leafnode",
        &["leafnode"],
        "is a news server to check",
    ),
    program(
        Purpose::HealthChecks,
        "ldirectord",
        &["ldirectord"],
        "reads the same files, for comparison",
    ),
    program(
        Purpose::Vm,
        "qemu-system-x86_64",
        &["qemu-system-x86"],
        "boots another kernel to test on",
    ),
    program(
        Purpose::Vm,
        "busybox",
        &["busybox-static"],
        "is the user space of that kernel's first file system",
    ),
    program(Purpose::Vm, "cpio", &["cpio"], "packs that file system"),
    program(
        Purpose::Vm,
        "depmod",
        &["kmod"],
        "prepares that kernel's modules",
    ),
    program(
        Purpose::Vm,
        "teamnl",
        &["libteam-utils"],
        "sets up a team of interfaces on that kernel",
    ),
    program(
        Purpose::Vm,
        "wg",
        &["wireguard-tools"],
        "sets up WireGuard on that kernel",
    ),
    program(
        Purpose::Vm,
        "ipvsadm",
        &["ipvsadm"],
        "prints the answers of that kernel's IPVS, for comparison",
    ),
    program(
        Purpose::Package,
        "dpkg-deb",
        &["dpkg"],
        "makes packages for Debian",
    ),
    program(Purpose::Package, "rpmbuild", &["rpm"], "makes RPM packages"),
    program(
        Purpose::Package,
        "strip",
        &["binutils"],
        "takes symbols out of the packaged programs",
    ),
    program(
        Purpose::Package,
        "lintian",
        &["lintian"],
        "looks for flaws in the packages for Debian",
    ),
    program(
        Purpose::Cluster,
        "mandoc",
        &["mandoc"],
        "looks for flaws in the man pages",
    ),
    program(
        Purpose::Cluster,
        "man",
        &["man-db", "groff-base"],
        "renders the man pages",
    ),
    program(
        Purpose::Cluster,
        "ocf-tester",
        &["resource-agents"],
        "tests the resource agent",
    ),
    program(
        Purpose::Cluster,
        "xmllint",
        &["libxml2-utils"],
        "is required by ocf-tester",
    ),
    program(
        Purpose::Cluster,
        "cl_status",
        &["heartbeat"],
        "is part of Heartbeat, a cluster manager",
    ),
    program(
        Purpose::Cluster,
        "ifconfig",
        &["net-tools"],
        "is required by Heartbeat's IPaddr",
    ),
    program(
        Purpose::Cluster,
        "keepalived",
        &["keepalived"],
        "fails a director over",
    ),
    program(
        Purpose::Cluster,
        "bird",
        &["bird2"],
        "announces directors to a router",
    ),
    program(
        Purpose::Cluster,
        "FRR",
        &["frr"],
        "announces directors to a router",
    )
    .found_by(|| Path::new("/usr/lib/frr/bgpd").is_file()),
    program(
        Purpose::Cluster,
        "pacemakerd",
        &["pacemaker"],
        "fails a director over",
    ),
    program(
        Purpose::Cluster,
        "corosync",
        &["corosync"],
        "is the membership layer of Pacemaker",
    ),
    program(
        Purpose::Cluster,
        "crm",
        &["crmsh", "pacemaker-cli-utils"],
        "configures Pacemaker",
    ),
    program(
        Purpose::Cluster,
        "ping",
        &["iputils-ping"],
        "is required by crm",
    ),
    program(
        Purpose::Cluster,
        "systemd-analyze",
        &["systemd"],
        "tests the systemd units",
    ),
];

/// Debian keeps each version's programs in a folder of their own, outside PATH.
fn has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql");
    shell::find("postgres").is_some()
        || versions.is_ok_and(|mut versions| {
            versions.any(|version| {
                version.is_ok_and(|version| version.path().join("bin/postgres").is_file())
            })
        })
}
