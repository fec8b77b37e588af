//! Debian packages.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Job, MAINTAINER, SUMMARY, compress_manuals, files, tree, write};
use crate::install::{self, Name};
use crate::shell;

const DESCRIPTION: &str =
    " A director for Linux: virtual services are balanced over real servers by direct
 routing, NAT, full NAT or tunnel, in network drivers (XDP) or behind them (TC).
 With health checks, failover and replication of connections. It accepts the
 commands of ipvsadm and the files of ldirectord.
";

const POSTINST: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
	# Its members may use the control socket.
	getent group lvs >/dev/null || groupadd --system lvs
	update-rc.d lvsd defaults-disabled >/dev/null
	# A restart of the daemon loses no packet: the kernel forwards meanwhile.
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		[ -z "$2" ] || deb-systemd-invoke try-restart lvsd.service lvsd-tables.service 'lvsd@*.service' >/dev/null || true
	elif [ -n "$2" ]; then
		# Whoever started it: an init script, a cluster manager, a hand.
		[ ! -r /etc/default/lvsd ] || . /etc/default/lvsd
		lvsd $LVSD_OPTIONS "${LVSD_FILE:-ldirectord.cf}" try-restart >/dev/null 2>&1 || true
	fi
fi
"#;

const PRERM: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ]; then
	if [ -d /run/systemd/system ]; then
		deb-systemd-invoke stop lvsd-tables.socket lvsd-tables.service lvsd.service 'lvsd@*.service' >/dev/null || true
	else
		[ ! -r /etc/default/lvsd ] || . /etc/default/lvsd
		lvsd $LVSD_OPTIONS "${LVSD_FILE:-ldirectord.cf}" stop >/dev/null 2>&1 || true
	fi
	if [ -d /sys/fs/bpf/lvs ]; then
		echo "lvs: services that are left in the kernel go on. \`dpkg --purge lvs' ends that, or: rm -r /sys/fs/bpf/lvs"
	fi
fi
"#;

const POSTRM: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ]; then
	update-rc.d lvsd remove >/dev/null
	# The last of a program in the kernel: it stops forwarding.
	rm -rf /sys/fs/bpf/lvs /run/lvs /var/lib/lvs
	[ -e /usr/sbin/ldirectord ] || rm -f /var/log/ldirectord.log
fi
"#;

/// A binary package.
struct Deb {
    name: &'static str,
    summary: String,
    description: &'static str,
    architecture: &'static str,
    relations: String,
    scripts: &'static [(&'static str, &'static str)],
}

/// Makes the three packages.
pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>> {
    let taken: Vec<_> = [Name::Ipvsadm, Name::Ldirectord]
        .into_iter()
        .flat_map(install::names)
        .collect();
    let main = tree(job, "lvs", |path| !taken.iter().any(|taken| taken == path))?;
    let libc = glibc(&fs::read(main.join("usr/sbin/lvsd"))?);
    let main = Deb {
        name: "lvs",
        summary: SUMMARY.to_owned(),
        description: DESCRIPTION,
        architecture: architecture(),
        relations: format!(
            "Depends: libc6 (>= {libc}), libgcc-s1 (>= 4.2), passwd\n\
             Recommends: ca-certificates\nSuggests: lvs-ipvsadm, lvs-ldirectord, keepalived\n"
        ),
        scripts: &[("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)],
    };
    let mut made = vec![main.build(job)?];
    for (name, of, provides) in [
        ("lvs-ipvsadm", Name::Ipvsadm, "ipvsadm (= 1:1.31)"),
        ("lvs-ldirectord", Name::Ldirectord, "ldirectord (= 1:4.12)"),
    ] {
        let program = &name["lvs-".len()..];
        let own: Vec<_> = install::names(of).collect();
        tree(job, name, |path| own.iter().any(|own| own == path))?;
        let package = Deb {
            name,
            summary: format!("{program} by the layer-4 director lvs"),
            description: " The program's names lead to the director's, which behaves alike. It takes the\n \
                          place of the package of that name.\n",
            architecture: "all",
            relations: format!(
                "Depends: lvs (>= {})\nProvides: {provides}\nConflicts: {program}\nReplaces: {program}\n",
                job.version
            ),
            scripts: &[],
        };
        made.push(package.build(job)?);
    }
    Ok(made)
}

impl Deb {
    fn build(&self, job: &Job) -> Result<PathBuf> {
        let tree = job.scratch.join(self.name);
        compress_manuals(&tree)?;
        let doc = tree.join("usr/share/doc").join(self.name);
        write(&doc.join("copyright"), COPYRIGHT, 0o644)?;
        write(&doc.join("changelog"), &changelog(self.name, job)?, 0o644)?;
        let changelog = doc.join("changelog");
        shell::quiet(
            Command::new("gzip")
                .args(["-9", "--no-name"])
                .arg(changelog),
        )?;
        if tree.join("etc/init.d").is_dir() {
            let overrides = tree.join("usr/share/lintian/overrides").join(self.name);
            write(&overrides, OVERRIDES, 0o644)?;
        }
        let size = files(&tree)?
            .iter()
            .filter_map(|path| path.symlink_metadata().ok())
            .map(|data| data.len().div_ceil(1024))
            .sum::<u64>();
        let mut configuration = String::new();
        for path in files(&tree)? {
            let known = path.strip_prefix(&tree)?;
            if known.starts_with("etc") && !path.is_symlink() {
                // Writing to a string does not fail.
                let _ = writeln!(configuration, "/{}", known.display());
            }
        }
        let control = tree.join("DEBIAN");
        let text = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {size}\n\
             Section: net\nPriority: optional\n{}Description: {}\n{}",
            self.name,
            job.version,
            self.architecture,
            self.relations,
            self.summary,
            self.description
        );
        write(&control.join("control"), &text, 0o644)?;
        if !configuration.is_empty() {
            write(&control.join("conffiles"), &configuration, 0o644)?;
        }
        for (name, script) in self.scripts {
            write(&control.join(name), script, 0o755)?;
        }
        write(&control.join("md5sums"), &md5sums(&tree)?, 0o644)?;
        folders_for_everybody(&tree)?;
        let (version, architecture) = (&job.version, self.architecture);
        let package = job
            .to
            .join(format!("{}_{version}_{architecture}.deb", self.name));
        let mut build = Command::new("dpkg-deb");
        build.arg("--root-owner-group");
        build.args(if job.fast {
            ["-Zgzip", "-z1"]
        } else {
            ["-Zxz", "-z6"]
        });
        build.arg("--build");
        build.arg(&tree).arg(&package);
        shell::run(build.env("SOURCE_DATE_EPOCH", &job.epoch))?;
        Ok(package)
    }
}

/// Sums of the files that are no configuration, for `dpkg --verify`.
fn md5sums(tree: &Path) -> Result<String> {
    let mut text = String::new();
    for path in files(tree)? {
        let known = path.strip_prefix(tree)?;
        if known.starts_with("etc") || known.starts_with("DEBIAN") || path.is_symlink() {
            continue;
        }
        let output = Command::new("md5sum")
            .arg(known)
            .current_dir(tree)
            .output()?;
        text.push_str(&String::from_utf8(output.stdout)?);
    }
    Ok(text)
}

/// Folders are made with the mode of whoever packages; they are installed for everybody.
fn folders_for_everybody(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders_for_everybody(&entry.path())?;
        }
    }
    Ok(())
}

/// The newest version of glibc's symbols that a program asks for.
fn glibc(program: &[u8]) -> String {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let minor = program
        .windows(PREFIX.len() + 2)
        .filter(|window| window.starts_with(PREFIX))
        .filter_map(|window| {
            let digits = window[PREFIX.len()..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit());
            let digits: String = digits.map(|&byte| char::from(byte)).collect();
            digits.parse::<u32>().ok()
        })
        .max();
    format!("2.{}", minor.unwrap_or(28))
}

/// Debian's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The newest version of CHANGELOG.md in Debian's format.
fn changelog(name: &str, job: &Job) -> Result<String> {
    let path = shell::workspace().join("CHANGELOG.md");
    let text = fs::read_to_string(&path).context("cannot read CHANGELOG.md")?;
    let newest = text
        .split("\n## [")
        .skip(1)
        .find(|section| !section.starts_with("Unreleased"))
        .unwrap_or_default();
    let mut changes = String::new();
    for line in newest.lines().filter_map(|line| line.strip_prefix("- ")) {
        let mut column = 4;
        changes.push_str("  *");
        for word in line.replace('`', "").split_whitespace() {
            if column + word.len() > 78 {
                changes.push_str("\n   ");
                column = 4;
            }
            changes.push(' ');
            changes.push_str(word);
            column += word.len() + 1;
        }
        changes.push('\n');
    }
    let date = Command::new("date")
        .args(["--utc", "--rfc-email", "--date"])
        .arg(format!("@{}", job.epoch))
        .output()?;
    let date = String::from_utf8(date.stdout)?;
    let version = &job.version;
    Ok(format!(
        "{name} ({version}) stable; urgency=medium\n\n{changes}\n -- {MAINTAINER}  {date}"
    ))
}

const OVERRIDES: &str = "\
# It needs nothing of them, and has the exit codes of the Linux Standard Base of its own.
lvs: init.d-script-does-not-source-init-functions
";

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: lvs

Files: *
Copyright: 2026 The lvs authors
License: Expat or Apache-2.0

License: Expat
 Permission is hereby granted, free of charge, to any person obtaining a copy
 of this software and associated documentation files (the \"Software\"), to deal
 in the Software without restriction, including without limitation the rights
 to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 copies of the Software, and to permit persons to whom the Software is
 furnished to do so, subject to the following conditions:
 .
 The above copyright notice and this permission notice shall be included in all
 copies or substantial portions of the Software.
 .
 THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
 SOFTWARE.

License: Apache-2.0
 On Debian systems, the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.

Comment: The BPF object inside lvsd may also be used under the GNU General
 Public License, version 2: /usr/share/common-licenses/GPL-2.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_version_is_the_one_that_is_needed() {
        let program = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0";
        assert_eq!(glibc(program), "2.34");
    }
}
