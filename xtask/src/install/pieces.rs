//! The list of installed files and links.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{manual, shell};

/// Origin of an installed file.
pub(super) enum Source {
    /// A program that is built.
    Program(&'static str),
    /// Below the workspace's `contrib`.
    Contrib(&'static str),
    /// The output of a program about itself by `--generate`.
    Generated(&'static str, &'static str),
    /// A document in `docs`, as a man page of section 5 of this name.
    Document(&'static str, &'static str),
}

/// A file that is installed.
pub(super) struct Piece {
    pub(super) from: Source,
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
    /// The content it is installed with, of the programs in a folder; none if these are not built.
    pub(super) fn content(&self, programs: &Path) -> Result<Option<Vec<u8>>> {
        let read = |path: PathBuf| {
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Some(match self.from {
            Source::Program(name) | Source::Generated(name, _)
                if !programs.join(name).is_file() =>
            {
                return Ok(None);
            }
            Source::Program(name) => read(programs.join(name))?,
            Source::Contrib(name) => read(shell::workspace().join("contrib").join(name))?,
            Source::Generated(name, what) => printed(&programs.join(name), what)?,
            Source::Document(document, name) => {
                let text = read(shell::workspace().join("docs").join(document))?;
                manual::page(&String::from_utf8(text)?, name).into_bytes()
            }
        }))
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

/// A document that a program prints about itself.
fn printed(program: &Path, what: &str) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(["--generate", what]);
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() || output.stdout.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {said}", shell::text(&command));
    }
    Ok(output.stdout)
}

/// Another name of a program, or of its man page.
pub(super) struct Link {
    /// Absolute, or below the prefix.
    pub(super) name: &'static str,
    /// Below the prefix.
    pub(super) target: &'static str,
    /// The program whose other name it is of.
    pub(super) of: Name,
}

/// A program whose name is taken over on request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Ipvsadm,
    Ldirectord,
}

const fn piece(from: Source, mode: u32, to: &'static str, why: &'static str) -> Piece {
    Piece {
        from,
        to,
        mode,
        why,
        is_configuration: false,
        default_file: None,
    }
}

const fn script(from: &'static str, to: &'static str, why: &'static str) -> Piece {
    piece(Source::Contrib(from), 0o755, to, why)
}

const fn program(name: &'static str, to: &'static str, why: &'static str) -> Piece {
    piece(Source::Program(name), 0o755, to, why)
}

const fn generated(
    program: &'static str,
    what: &'static str,
    to: &'static str,
    why: &'static str,
) -> Piece {
    piece(Source::Generated(program, what), 0o644, to, why)
}

const fn text(from: &'static str, to: &'static str, why: &'static str) -> Piece {
    piece(Source::Contrib(from), 0o644, to, why)
}

/// Template of both systemd units.
const UNIT: &str = "systemd/lvsd@.service";

pub(super) const PIECES: &[Piece] = &[
    program("lvsd", "sbin/lvsd", "the director"),
    program("lvsadm", "sbin/lvsadm", "its command line"),
    generated("lvsd", "man", "share/man/man8/lvsd.8", "its man page"),
    generated("lvsadm", "man", "share/man/man8/lvsadm.8", "its man page"),
    piece(
        Source::Document("ldirectord.cf.md", "ldirectord.cf"),
        0o644,
        "share/man/man5/ldirectord.cf.5",
        "man page of the configuration file",
    ),
    generated(
        "lvsd",
        "bash",
        "share/bash-completion/completions/lvsd",
        "completes the options of lvsd in bash",
    ),
    generated(
        "lvsadm",
        "bash",
        "share/bash-completion/completions/lvsadm",
        "completes options and verbs of lvsadm in bash",
    ),
    generated(
        "lvsd",
        "zsh",
        "share/zsh/vendor-completions/_lvsd",
        "the same in zsh",
    ),
    generated(
        "lvsadm",
        "zsh",
        "share/zsh/vendor-completions/_lvsadm",
        "the same in zsh",
    ),
    generated(
        "lvsd",
        "fish",
        "share/fish/vendor_completions.d/lvsd.fish",
        "the same in fish",
    ),
    generated(
        "lvsadm",
        "fish",
        "share/fish/vendor_completions.d/lvsadm.fish",
        "the same in fish",
    ),
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
    script("init/lvsd", "/etc/init.d/lvsd", "init script"),
    script(
        "lib/role",
        "lib/lvs/role",
        "changes the role of the director",
    ),
    script(
        "lib/healthy",
        "lib/lvs/healthy",
        "exits with 0 if the director can work",
    ),
    script(
        "keepalived/notify",
        "lib/lvs/keepalived-notify",
        "for keepalived: sets the role by its state",
    ),
    script(
        "heartbeat/LVSSyncDaemonSwap",
        "/etc/ha.d/resource.d/LVSSyncDaemonSwap",
        "Heartbeat resource: the role",
    ),
    script(
        "heartbeat/lvs",
        "/etc/ha.d/resource.d/lvs",
        "Heartbeat resource: the director",
    ),
    script(
        "ocf/director",
        "/usr/lib/ocf/resource.d/lvs/director",
        "Pacemaker agent: ocf:lvs:director",
    ),
];

const fn link(of: Name, name: &'static str, target: &'static str) -> Link {
    Link { name, target, of }
}

pub(super) const LINKS: &[Link] = &[
    link(Name::Ipvsadm, "sbin/ipvsadm", "sbin/lvsadm"),
    link(Name::Ipvsadm, "sbin/ipvsadm-save", "sbin/lvsadm"),
    link(Name::Ipvsadm, "sbin/ipvsadm-restore", "sbin/lvsadm"),
    link(Name::Ipvsadm, "share/man/man8/ipvsadm.8", MAN_LVSADM),
    link(Name::Ipvsadm, "share/man/man8/ipvsadm-save.8", MAN_LVSADM),
    link(
        Name::Ipvsadm,
        "share/man/man8/ipvsadm-restore.8",
        MAN_LVSADM,
    ),
    link(Name::Ldirectord, "sbin/ldirectord", "sbin/lvsd"),
    link(
        Name::Ldirectord,
        "/etc/ha.d/resource.d/ldirectord",
        "sbin/lvsd",
    ),
    link(
        Name::Ldirectord,
        "share/man/man8/ldirectord.8",
        "share/man/man8/lvsd.8",
    ),
];

const MAN_LVSADM: &str = "share/man/man8/lvsadm.8";
