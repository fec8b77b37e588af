//! What has to be there, for what, and which of Debian's packages bring it.

use std::fs;
use std::path::Path;

use crate::{bpf, shell};

/// What something is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building lvsd.
    Build,
    /// The lab of network namespaces.
    Lab,
    /// Tests of the probes: a real server of each kind that is probed.
    Probes,
    /// Tests on another kernel, in a virtual machine.
    Vm,
    /// Tests with those who start directors and move them between machines.
    Cluster,
}

/// A thing that has to be there.
pub(super) struct Requirement {
    pub(super) purpose: Purpose,
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    /// Debian packages that bring it.
    pub(super) packages: &'static [&'static str],
    /// How it is found where it is not the program `what`.
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
    .found_by(|| bpf::has_debian_compiler() || bpf::has_nightly()),
    program(
        Purpose::Build,
        "bpf-linker",
        &["llvm-22-dev", "zlib1g-dev", "g++"],
        "links the XDP program (its packages: LLVM of the compiler's version, to build it)",
    )
    .found_by(|| bpf::linker().is_some()),
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
        "is the lab's real servers",
    ),
    program(Purpose::Lab, "curl", &["curl"], "is the lab's client"),
    program(
        Purpose::Probes,
        "iptables",
        &["iptables"],
        "sets the firewall marks that lvsd takes over",
    ),
    program(Purpose::Lab, "wrk", &["wrk"], "puts load on the lab"),
    program(
        Purpose::Lab,
        "tcpdump",
        &["tcpdump"],
        "lists what a director sends",
    ),
    program(
        Purpose::Probes,
        "openssl",
        &["openssl"],
        "makes the certificates of the servers that are probed with TLS",
    ),
    program(
        Purpose::Probes,
        "mariadbd",
        &["mariadb-server-core"],
        "is a data base to probe",
    ),
    program(
        Purpose::Probes,
        "mariadb",
        &["mariadb-client-core"],
        "asks that data base for its role, in a script that probes",
    ),
    program(
        Purpose::Probes,
        "postgres",
        &["postgresql"],
        "is a data base to probe",
    )
    .found_by(has_postgres),
    program(
        Purpose::Probes,
        "dnsmasq",
        &["dnsmasq-base"],
        "is a name server to probe",
    ),
    program(
        Purpose::Probes,
        "slapd",
        &["slapd"],
        "is an LDAP server to probe",
    ),
    program(
        Purpose::Probes,
        "postfix",
        &["postfix"],
        "is a mail server to probe",
    ),
    program(
        Purpose::Probes,
        "dovecot with IMAP and POP3",
        &["dovecot-imapd", "dovecot-pop3d"],
        "is a server of mailboxes to probe",
    )
    .found_by(|| {
        let folder = Path::new("/usr/lib/dovecot");
        shell::find("dovecot").is_some()
            && ["imap", "pop3"]
                .iter()
                .all(|name| folder.join(name).is_file())
    }),
    program(
        Purpose::Probes,
        "vsftpd",
        &["vsftpd"],
        "is an FTP server to probe",
    ),
    program(
        Purpose::Probes,
        "freeradius",
        &["freeradius"],
        "is a RADIUS server to probe",
    ),
    program(
        Purpose::Probes,
        "squid",
        &["squid"],
        "is a web proxy to probe",
    ),
    program(
        Purpose::Probes,
        "redis-server",
        &["redis-server"],
        "is a Redis server to probe",
    ),
    program(
        Purpose::Probes,
        "kamailio",
        &["kamailio"],
        "is a SIP server to probe",
    ),
    program(
        Purpose::Probes,
        "leafnode",
        &["leafnode"],
        "is a news server to probe",
    ),
    program(
        Purpose::Probes,
        "ldirectord",
        &["ldirectord"],
        "tells how it reads its files, to compare with",
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
        "ipvsadm",
        &["ipvsadm"],
        "tells what that kernel's own IPVS answers, to compare with",
    ),
    program(
        Purpose::Cluster,
        "ocf-tester",
        &["resource-agents"],
        "judges the resource agent",
    ),
    program(
        Purpose::Cluster,
        "xmllint",
        &["libxml2-utils"],
        "is what that needs for it",
    ),
    program(
        Purpose::Cluster,
        "cl_status",
        &["heartbeat"],
        "is of Heartbeat, which moves a director between machines",
    ),
    program(
        Purpose::Cluster,
        "ifconfig",
        &["net-tools"],
        "is what Heartbeat's IPaddr asks for addresses",
    ),
    program(
        Purpose::Cluster,
        "keepalived",
        &["keepalived"],
        "moves a director between machines",
    ),
    program(
        Purpose::Cluster,
        "bird",
        &["bird2"],
        "tells a router which directors are there",
    ),
    program(Purpose::Cluster, "FRR", &["frr"], "tells a router the same")
        .found_by(|| Path::new("/usr/lib/frr/bgpd").is_file()),
    program(
        Purpose::Cluster,
        "pacemakerd",
        &["pacemaker"],
        "moves a director between machines",
    ),
    program(
        Purpose::Cluster,
        "corosync",
        &["corosync"],
        "is what tells Pacemaker which machines there are",
    ),
    program(
        Purpose::Cluster,
        "crm",
        &["crmsh", "pacemaker-cli-utils"],
        "sets up Pacemaker",
    ),
    program(
        Purpose::Cluster,
        "ping",
        &["iputils-ping"],
        "is how that finds the machines",
    ),
    program(
        Purpose::Cluster,
        "systemd-analyze",
        &["systemd"],
        "judges the systemd units",
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
