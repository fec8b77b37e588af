//! What is installed, and where.

use std::path::{Path, PathBuf};

use crate::shell;

/// A file that is installed.
pub(super) struct Piece {
    /// Below the workspace's `contrib`; a name without a folder is a program that is built.
    from: &'static str,
    /// Absolute, or below the prefix.
    pub(super) to: &'static str,
    pub(super) mode: u32,
    pub(super) why: &'static str,
    /// Is it the administrator's once it is there?
    pub(super) is_configuration: bool,
}

impl Piece {
    /// Where it comes from.
    pub(super) fn source(&self, programs: &Path) -> PathBuf {
        if self.from.contains('/') {
            shell::workspace().join("contrib").join(self.from)
        } else {
            programs.join(self.from)
        }
    }
}

/// A text with its paths below the prefix; a program as it is.
pub(super) fn adapted(content: Vec<u8>, prefix: &Path) -> Vec<u8> {
    match String::from_utf8(content) {
        Ok(text) => {
            let prefix = prefix.display();
            text.replace("/usr/sbin/lvs", &format!("{prefix}/sbin/lvs"))
                .replace("/usr/lib/lvs", &format!("{prefix}/lib/lvs"))
                .into_bytes()
        }
        Err(program) => program.into_bytes(),
    }
}

/// Another name of a program.
pub(super) struct Link {
    /// Absolute, or below the prefix.
    pub(super) name: &'static str,
    pub(super) program: &'static str,
}

const fn program(from: &'static str, to: &'static str, why: &'static str) -> Piece {
    Piece {
        from,
        to,
        mode: 0o755,
        why,
        is_configuration: false,
    }
}

const fn text(from: &'static str, to: &'static str, why: &'static str) -> Piece {
    Piece {
        mode: 0o644,
        ..program(from, to, why)
    }
}

pub(super) const PIECES: &[Piece] = &[
    program("lvsd", "sbin/lvsd", "the director"),
    program("lvsadm", "sbin/lvsadm", "its command line"),
    Piece {
        is_configuration: true,
        ..text(
            "default/lvsd",
            "/etc/default/lvsd",
            "options of the director, whoever starts it",
        )
    },
    text(
        "systemd/lvsd.service",
        "/lib/systemd/system/lvsd.service",
        "for systemd",
    ),
    text(
        "systemd/lvsd@.service",
        "/lib/systemd/system/lvsd@.service",
        "for systemd, by any file",
    ),
    program("init/lvsd", "/etc/init.d/lvsd", "init script"),
    program("lib/role", "lib/lvs/role", "has the director take a role"),
    program(
        "lib/healthy",
        "lib/lvs/healthy",
        "tells whether it can work",
    ),
    program(
        "keepalived/notify",
        "lib/lvs/keepalived-notify",
        "for keepalived: its state becomes the role",
    ),
    program(
        "heartbeat/LVSSyncDaemonSwap",
        "/etc/ha.d/resource.d/LVSSyncDaemonSwap",
        "for Heartbeat: the role",
    ),
    program(
        "heartbeat/lvs",
        "/etc/ha.d/resource.d/lvs",
        "for Heartbeat: the director",
    ),
    program(
        "ocf/director",
        "/usr/lib/ocf/resource.d/lvs/director",
        "for Pacemaker: ocf:lvs:director",
    ),
];

pub(super) const LINKS: &[Link] = &[
    Link {
        name: "sbin/ipvsadm",
        program: "lvsadm",
    },
    Link {
        name: "sbin/ipvsadm-save",
        program: "lvsadm",
    },
    Link {
        name: "sbin/ipvsadm-restore",
        program: "lvsadm",
    },
    Link {
        name: "sbin/ldirectord",
        program: "lvsd",
    },
    Link {
        name: "/etc/ha.d/resource.d/ldirectord",
        program: "lvsd",
    },
];
