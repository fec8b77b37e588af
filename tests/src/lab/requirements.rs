//! Checks that this process can run a lab.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

/// Why there can be no lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

/// Programs a lab starts.
const PROGRAMS: [&str; 5] = ["ip", "ethtool", "nginx", "curl", "wrk"];

/// For tests: true if the lab can run here, see [`skipped`].
pub fn available() -> bool {
    !skipped(check())
}

/// For tests: true if they cannot run here; a line says why.
///
/// # Panics
///
/// If `CI` is set: a skipped test would go unnoticed there.
pub fn skipped(obstacle: Result<(), Missing>) -> bool {
    let Err(Missing(reason)) = obstacle else {
        return false;
    };
    assert!(
        env::var_os("CI").is_none(),
        "this test cannot run: {reason}"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the harness, which swallows what passing tests print.
    let _ = writeln!(std::io::stderr(), "skipped {test}: {reason}");
    true
}

/// Checks that a lab can run; the error names what is missing.
pub(super) fn check() -> Result<(), Missing> {
    programs(&PROGRAMS)
}

/// Checks for root and these programs; the error names what is missing.
pub fn programs(names: &[&str]) -> Result<(), Missing> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Missing("network namespaces and BPF need root".into()));
    }
    for program in names {
        if find(program).is_none() {
            return Err(Missing(format!(
                "{program} is not installed: run `cargo xtask setup`"
            )));
        }
    }
    Ok(())
}

/// A program in PATH, or where administrators' programs live.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(postgresql_folders())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// A shared library in a folder of the linker's, to be loaded before others.
///
/// # Errors
///
/// When it is not installed.
pub fn library(name: &str) -> Result<String, Missing> {
    let mut folders: Vec<_> = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|folder| folder.path())
        .collect();
    folders.push(PathBuf::from("/usr/lib"));
    let mut found = folders.into_iter().map(|folder| folder.join(name));
    let found = found.find(|candidate| candidate.is_file());
    let missing = || Missing(format!("{name} is not installed: run `cargo xtask setup`"));
    Ok(found.ok_or_else(missing)?.to_string_lossy().into_owned())
}

/// Debian keeps each version's programs in a folder of their own.
fn postgresql_folders() -> impl Iterator<Item = PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    versions.flatten().map(|version| version.path().join("bin"))
}
