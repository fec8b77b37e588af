//! The RPM packages, by rpmbuild.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Job, SUMMARY, files, tree, write};
use crate::install::{self, Name};
use crate::shell;

const HEAD: &str = r"License: MIT OR Apache-2.0
Group: System Environment/Daemons
AutoReqProv: no
%define __os_install_post %{nil}
%define _build_id_links none
";

const SCRIPTS: &str = r"
%pre
getent group lvs >/dev/null || groupadd --system lvs
%post
systemctl daemon-reload >/dev/null 2>&1 || :
%preun
if [ $1 -eq 0 ]; then
    systemctl stop lvsd-tables.socket lvsd-tables.service lvsd.service 'lvsd@*.service' >/dev/null 2>&1 || :
    if [ -d /sys/fs/bpf/lvs ]; then
        echo 'lvs: the kernel goes on forwarding what it was told to. This ends it: rm -r /sys/fs/bpf/lvs'
    fi
fi
%postun
systemctl daemon-reload >/dev/null 2>&1 || :
if [ $1 -ge 1 ]; then
    systemctl try-restart lvsd-tables.service lvsd.service 'lvsd@*.service' >/dev/null 2>&1 || :
fi
";

/// Makes the package and those of the names.
pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>> {
    let top = job.scratch.join("rpmbuild");
    let staged = tree(job, "rpm", |_| true)?;
    super::compress_manuals(&staged)?;
    // Fedora, RHEL and SUSE have units below /usr/lib.
    let units = staged.join("usr/lib/systemd/system");
    fs::create_dir_all(units.parent().context("it is in a folder")?)?;
    fs::rename(staged.join("lib/systemd/system"), &units)?;
    fs::remove_dir_all(staged.join("lib"))?;
    let list = |of: Option<Name>| -> Result<String> {
        let names = |of| -> Vec<PathBuf> { install::names(of).map(compressed).collect() };
        let all = [names(Name::Ipvsadm), names(Name::Ldirectord)].concat();
        let mut list = String::new();
        for path in files(&staged)? {
            let known = Path::new("/").join(path.strip_prefix(&staged)?);
            let is_here = match of {
                None => !all.contains(&known),
                Some(of) => names(of).contains(&known),
            };
            if is_here {
                let kind = if known.starts_with("/etc") && !path.is_symlink() {
                    "%config(noreplace) "
                } else {
                    ""
                };
                // Writing to a string does not fail.
                let _ = writeln!(list, "{kind}{}", known.display());
            }
        }
        Ok(list)
    };
    let version = &job.version;
    let mut spec = format!(
        "Name: lvs\nVersion: {version}\nRelease: 1\nSummary: {SUMMARY}\n{HEAD}\
         Requires: glibc, shadow-utils\n\n%description\nA director for Linux: virtual services are balanced over \
         real servers by direct\nrouting, NAT, full NAT or tunnel, in network drivers or behind them.\n{SCRIPTS}\n\
         %install\ncp -a {}/. %{{buildroot}}\n\n%files\n{}",
        staged.display(),
        list(None)?
    );
    for (of, program) in [(Name::Ipvsadm, "ipvsadm"), (Name::Ldirectord, "ldirectord")] {
        let _ = write!(
            spec,
            "\n%package {program}\nSummary: {program} by the layer-4 director lvs\nRequires: lvs = {version}\n\
             Provides: {program} = 1.31\nConflicts: {program}\n%description {program}\nThe program's names \
             lead to the director's, which behaves alike.\n%files {program}\n{}",
            list(Some(of))?
        );
    }
    let path = top.join("lvs.spec");
    write(&path, &spec, 0o644)?;
    let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
    let mut build = Command::new("rpmbuild");
    build.arg("-bb").arg("--quiet");
    build.args(define("_topdir", &top.display().to_string()));
    build.args(define("_buildhost", "lvs"));
    build.args(define("use_source_date_epoch_as_buildtime", "1"));
    build.args(define("clamp_mtime_to_source_date_epoch", "1"));
    build.args(define(
        "_binary_payload",
        if job.fast { "w1.gzdio" } else { "w6.xzdio" },
    ));
    // The name is expanded for each package, not here.
    build.args(define(
        "_rpmfilename",
        "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    ));
    build.arg(&path).env("SOURCE_DATE_EPOCH", &job.epoch);
    shell::run(&mut build)?;
    let mut made = Vec::new();
    for package in files(&top.join("RPMS"))? {
        let to = job
            .to
            .join(package.file_name().context("a file has a name")?);
        fs::copy(&package, &to)?;
        made.push(to);
    }
    Ok(made)
}

/// The name of a path in a package, where man pages are compressed.
fn compressed(path: PathBuf) -> PathBuf {
    if !path.starts_with("/usr/share/man") {
        return path;
    }
    let mut path = path.into_os_string();
    path.push(".gz");
    path.into()
}
