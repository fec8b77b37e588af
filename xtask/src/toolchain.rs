//! The toolchain for the BPF object: Debian's packages or a rustup nightly, whichever is installed.
//!
//! `xtask` and the build script of `lvs-dataplane` share this file, so it uses `std` alone.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Target of the BPF object.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Debian's compiler by its full path: rustup's come first in PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";

/// A compiler that builds BPF code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// Debian's, with a ready-built `core` for BPF.
    Debian,
    /// A rustup nightly with the source of `core`.
    Nightly,
}

impl Compiler {
    /// Looks for an installed compiler.
    pub(crate) fn find() -> Option<Self> {
        if Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_CORE).exists() {
            return Some(Self::Debian);
        }
        let output = Command::new("rustup")
            .args(["run", "nightly", "rustc", "--print", "sysroot"])
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let source = sysroot.join("lib/rustlib/src/rust/library/core");
        source.exists().then_some(Self::Nightly)
    }

    /// Makes a command of cargo (`build`, `check`) for the BPF package.
    pub(crate) fn cargo(self, cargo: impl AsRef<OsStr>, verb: &str) -> Command {
        let mut command = match self {
            // The target is a tier 3 one, and its atomics and assembly are unstable.
            Self::Debian => {
                let mut command = Command::new(cargo);
                command
                    .arg(verb)
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command
                    .args(["run", "nightly", "cargo", verb, "-Zbuild-std=core"])
                    .env_remove("RUSTC")
                    .env_remove("CARGO")
                    .env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        };
        command.args([
            "--package",
            "lvs-ebpf",
            "--profile",
            "bpf",
            "--target",
            TARGET,
        ]);
        command
    }
}

/// Looks for bpf-linker in PATH and where `cargo install` puts programs.
pub(crate) fn linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(cargo_bin())
        .map(|folder| folder.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
}

/// The folder in which `cargo install` puts programs.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("bin"))
}
