//! The list of installed files and links.

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
    /// True if an edited file stays as it is.
    pub(super) is_configuration: bool,
    /// Makes a unit of a systemd template: the file of its daemon, unless LVSD_FILE names another one.
    default_file: Option<&'static str>,
}

impl Piece {
    /// The file it is copied from.
    pub(super) fn source(&self, programs: &Path) -> PathBuf {
        if self.from.contains('/') {
            shell::workspace().join("contrib").join(self.from)
        } else {
            programs.join(self.from)
        }
    }

    /// Renders a text: its paths below the prefix, its file named. Leaves a program as it is.
    pub(super) fn render(&self, content: Vec<u8>, prefix: &Path) -> Vec<u8> {
        let mut text = match String::from_utf8(content) {
            Ok(text) => text,
            Err(program) => return program.into_bytes(),
        };
        if let Some(file) = self.default_file {
            let environment = "EnvironmentFile=";
            text = text
                .replace(" (%i)", "")
                .replace("%i", "${LVSD_FILE}")
                .replace(
                    environment,
                    &format!("Environment=LVSD_FILE={file}\n{environment}"),
                );
        }
        let prefix = prefix.display();
        text.replace("/usr/sbin/lvs", &format!("{prefix}/sbin/lvs"))
            .replace("/usr/lib/lvs", &format!("{prefix}/lib/lvs"))
            .into_bytes()
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
        default_file: None,
    }
}

const fn text(from: &'static str, to: &'static str, why: &'static str) -> Piece {
    Piece {
        mode: 0o644,
        ..program(from, to, why)
    }
}

/// Template of both systemd units.
const UNIT: &str = "systemd/lvsd@.service";

pub(super) const PIECES: &[Piece] = &[
    program("lvsd", "sbin/lvsd", "the director"),
    program("lvsadm", "sbin/lvsadm", "its command line"),
    Piece {
        is_configuration: true,
        ..text(
            "default/lvsd",
            "/etc/default/lvsd",
            "options of the director for every way to start it",
        )
    },
    Piece {
        default_file: Some("ldirectord.cf"),
        ..text(
            UNIT,
            "/lib/systemd/system/lvsd.service",
            "systemd unit for LVSD_FILE of /etc/default/lvsd, or ldirectord.cf",
        )
    },
    text(
        "systemd/lvsd-tables.service",
        "/lib/systemd/system/lvsd-tables.service",
        "systemd unit without a file: services by ipvsadm",
    ),
    text(
        "systemd/lvsd-tables.socket",
        "/lib/systemd/system/lvsd-tables.socket",
        "the first command starts that unit",
    ),
    text(
        UNIT,
        "/lib/systemd/system/lvsd@.service",
        "systemd unit for any file",
    ),
    program("init/lvsd", "/etc/init.d/lvsd", "init script"),
    program(
        "lib/role",
        "lib/lvs/role",
        "changes the role of the director",
    ),
    program(
        "lib/healthy",
        "lib/lvs/healthy",
        "exits with 0 if the director can work",
    ),
    program(
        "keepalived/notify",
        "lib/lvs/keepalived-notify",
        "for keepalived: sets the role by its state",
    ),
    program(
        "heartbeat/LVSSyncDaemonSwap",
        "/etc/ha.d/resource.d/LVSSyncDaemonSwap",
        "Heartbeat resource: the role",
    ),
    program(
        "heartbeat/lvs",
        "/etc/ha.d/resource.d/lvs",
        "Heartbeat resource: the director",
    ),
    program(
        "ocf/director",
        "/usr/lib/ocf/resource.d/lvs/director",
        "Pacemaker agent: ocf:lvs:director",
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
