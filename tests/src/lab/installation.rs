//! The director as `cargo xtask install` puts it on a machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

use super::built;

/// Runs a verb of xtask for a folder, with the programs of this build unless the options name others.
pub fn xtask(verb: &str, destdir: &Path, options: &[&str]) -> Result<Output> {
    let xtask = built("xtask")?;
    let mut command = Command::new(&xtask);
    command.arg(verb).arg("--destdir").arg(destdir);
    if verb == "install" && !options.contains(&"--programs") {
        let programs = xtask.parent().context("a program lies in a folder")?;
        command.arg("--programs").arg(programs);
    }
    command.env_remove("DESTDIR").env_remove("PREFIX");
    command.args(options).output().context("cannot start xtask")
}

/// Installs below a folder, as an administrator would; what was said is returned.
pub fn install(destdir: &Path, options: &[&str]) -> Result<String> {
    let output = xtask("install", destdir, options)?;
    ensure!(output.status.success(), "xtask install: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Installs below a folder, as a [site](super::Site) needs it.
pub fn install_for_site(folder: &Path, options: &[&str]) -> Result<()> {
    install(folder, options)?;
    // On today's Debian /lib is a link to usr/lib: a machine has a layer over the latter.
    let units = folder.join("usr/lib/systemd/system");
    fs::create_dir_all(&units)?;
    for entry in fs::read_dir(folder.join("lib/systemd/system"))? {
        let entry = entry?;
        fs::copy(entry.path(), units.join(entry.file_name()))?;
    }
    Ok(())
}

/// Makes the Debian packages of this build below a folder, as this version.
pub fn debian_packages(folder: &Path, version: &str) -> Result<()> {
    let xtask = built("xtask")?;
    let programs = xtask.parent().context("a program lies in a folder")?;
    let output = Command::new(&xtask)
        .args([
            "package",
            "--fast",
            "--only",
            "deb",
            "--package-version",
            version,
        ])
        .arg("--to")
        .arg(folder)
        .arg("--programs")
        .arg(programs)
        // Any time: what matters is that it is always the same.
        .env("SOURCE_DATE_EPOCH", "1764460800")
        .output()
        .context("cannot start xtask")?;
    ensure!(output.status.success(), "xtask package: {output:?}");
    Ok(())
}
