//! A site with the director installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use lvs_tests::eventually;
use lvs_tests::lab::{Site, programs, skipped};

use crate::install::install;

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// What `cargo xtask install` puts on a director: once for all sites.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed");
        install(&folder, &[]);
        // On today's Debian /lib is a link to usr/lib: a machine has a layer over the latter.
        let units = folder.join("usr/lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        for entry in fs::read_dir(folder.join("lib/systemd/system")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), units.join(entry.file_name())).unwrap();
        }
        folder
    })
}

/// A site with both directors switched on, or `None` where there can be none.
pub(crate) fn site(segments: &[&str], needed: &[&str]) -> Option<Site> {
    let needed = [&["ip", "ethtool", "nginx", "curl"], needed].concat();
    if skipped(programs(&needed)) {
        return None;
    }
    let site = Site::new(segments, installed()).unwrap_or_else(|error| panic!("{error:#}"));
    for name in ["lvs1", "lvs2"] {
        site.boot(name).unwrap_or_else(|error| panic!("{error:#}"));
    }
    Some(site)
}

/// Waits until a line of shell on a host says this.
#[track_caller]
pub(crate) fn says(site: &Site, host: &str, line: &str, expected: &str) {
    let mut last = String::new();
    let holds = eventually(PATIENCE, || {
        last = match site.run(host, line) {
            Ok(ended) => ended.said.trim().to_owned(),
            Err(error) => format!("{error:#}"),
        };
        last == expected
    });
    assert!(holds, "{host}: `{line}` says {last:?}, not {expected:?}");
}

/// A file of ldirectord for both real servers.
pub(crate) const FILE: &str = "
checkinterval=1
virtual=10.0.0.3:80
\treal=10.0.0.11:80 gate
\treal=10.0.0.12:80 gate
\tservice=http
\trequest=\"/\"
";
