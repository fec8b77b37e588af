//! The toolchain for the BPF object: Debian's packages or a rustup nightly, whichever is there.
//! The build script of `lvs-dataplane` looks for the same two.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// Target of the BPF object.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// bpf-linker's version; its LLVM must have the major version of the compiler's.
pub(crate) const LINKER_VERSION: &str = "0.13.0";

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";

/// Looks for Debian's compiler with its ready-built `core` for BPF.
pub(crate) fn has_debian_compiler() -> bool {
    Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_CORE).exists()
}

/// Looks for a rustup nightly with the source of `core`.
pub(crate) fn has_nightly() -> bool {
    let sysroot = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(sysroot) = sysroot else { return false };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    sysroot.join("lib/rustlib/src/rust/library/core").exists()
}

/// bpf-linker, in PATH or where cargo installs programs.
pub(crate) fn linker() -> Option<PathBuf> {
    shell::find("bpf-linker").or_else(|| {
        let installed = cargo_bin()?.join("bpf-linker");
        installed.is_file().then_some(installed)
    })
}

/// The folder of programs that `cargo install` installs.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("bin"))
}

/// `cargo check` of the BPF program with the compiler that builds it.
pub(crate) fn check() -> Command {
    let arguments = [
        "check",
        "--package",
        "lvs-ebpf",
        "--profile",
        "bpf",
        "--target",
        TARGET,
    ];
    let mut cargo = if has_debian_compiler() {
        let mut cargo = shell::cargo();
        // A tier 3 target, with unstable atomics and assembly.
        cargo
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .args(arguments);
        cargo
    } else {
        let mut cargo = Command::new("rustup");
        cargo
            .current_dir(shell::workspace())
            .args(["run", "nightly", "cargo"])
            .args(arguments)
            .arg("-Zbuild-std=core")
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN");
        cargo
    };
    cargo
        .arg("--target-dir")
        .arg(shell::target_dir().join("bpf"))
        .env("RUSTFLAGS", "-Ctarget-cpu=v3 -Dwarnings");
    cargo
}
