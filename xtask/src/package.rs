//! `cargo xtask package`: packages of what `cargo xtask install` installs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sha2::{Digest as _, Sha256};

use crate::setup::{self, Purpose};
use crate::{install, shell};

mod bill;
mod deb;
mod image;
mod rpm;

/// Make packages: .deb, .rpm, an OCI image, a bill of materials and SHA256SUMS, in target/package.
///
/// The package `lvs` has what `cargo xtask install` installs; `lvs-ipvsadm` and `lvs-ldirectord` have
/// the names of these programs and take the place of their packages. Nothing is fetched from the
/// network but libraries that cargo does not have yet. On the same system, whose C libraries and
/// authorities the image has, the same commit and compiler make the same files.
///
///   cargo xtask package
///   dpkg -i target/package/lvs_*.deb
///   skopeo copy oci-archive:target/package/lvs-*.oci.tar docker-daemon:lvs:latest
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Package {
    /// Take lvsd and lvsadm from this folder and build nothing.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Folder of the packages [default: target/package]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Another version than the workspace's, for tests of upgrades.
    #[arg(long = "package-version", value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
    /// Compress for speed, not for size.
    #[arg(long, hide = true)]
    fast: bool,
    /// Only these kinds [default: all]
    #[arg(long, value_name = "KIND")]
    only: Vec<Kind>,
}

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Deb,
    Rpm,
    Image,
    Bill,
}

/// The facts that the writers of packages need.
struct Job {
    /// The installed tree, with all links.
    root: PathBuf,
    /// Folder for trees of single packages.
    scratch: PathBuf,
    /// Folder of the packages.
    to: PathBuf,
    version: String,
    fast: bool,
    /// Seconds since 1970 that stand for every time in a package.
    epoch: String,
}

/// Maintainer in the packages' records.
const MAINTAINER: &str = "The lvs authors <lvs@users.noreply.github.com>";

/// The first sentence of every description.
const SUMMARY: &str = "layer-4 load balancer with IPVS's commands in XDP";

impl Package {
    pub(crate) fn execute(&self) -> Result<()> {
        let epoch = epoch()?;
        let programs = if let Some(folder) = &self.programs {
            std::path::absolute(folder)?
        } else {
            setup::ensure(&[Purpose::Build, Purpose::Package])?;
            build(&epoch)?;
            shell::target_dir().join("release")
        };
        let to = self
            .to
            .clone()
            .unwrap_or_else(|| shell::target_dir().join("package"));
        fs::create_dir_all(&to)?;
        let scratch = tempfile::tempdir()?;
        let root = scratch.path().join("root");
        install::stage(&root, &programs)?;
        for program in ["lvsd", "lvsadm"] {
            let program = root.join("usr/sbin").join(program);
            shell::run(Command::new("strip").arg("--strip-unneeded").arg(program))?;
        }
        let job = Job {
            root,
            scratch: scratch.path().to_owned(),
            to: std::path::absolute(&to)?,
            version: self.version.clone(),
            fast: self.fast,
            epoch,
        };
        let mut made = Vec::new();
        for (kind, make) in WRITERS {
            if self.only.is_empty() || self.only.contains(kind) {
                made.extend(make(&job)?);
            }
        }
        sums(&job, &made)?;
        for path in made {
            println!("{}", path.display());
        }
        Ok(())
    }
}

type Writer = fn(&Job) -> Result<Vec<PathBuf>>;

const WRITERS: &[(Kind, Writer)] = &[
    (Kind::Deb, deb::make),
    (Kind::Rpm, rpm::make),
    (Kind::Image, image::make),
    (Kind::Bill, bill::make),
];

/// The time of the packages: `SOURCE_DATE_EPOCH`, or that of the commit.
fn epoch() -> Result<String> {
    if let Ok(epoch) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let mut git = Command::new("git");
    git.current_dir(shell::workspace())
        .args(["log", "-1", "--format=%ct"]);
    let output = git.output().context("cannot start git")?;
    let epoch = String::from_utf8(output.stdout)?.trim().to_owned();
    if epoch.is_empty() {
        bail!("this is no clone: set SOURCE_DATE_EPOCH to the time of the source");
    }
    Ok(epoch)
}

/// Builds the programs so that they do not depend on the folder of the source.
fn build(epoch: &str) -> Result<()> {
    let workspace = fs::canonicalize(shell::workspace())?;
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .context("there is no home folder")?;
    let flags = [(workspace, "/src/lvs"), (cargo_home, "/src/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let mut cargo = shell::cargo();
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--bin",
            "lvsd",
            "--bin",
            "lvsadm",
        ])
        .args(["--package", "lvsd", "--package", "lvsadm"])
        .env("SOURCE_DATE_EPOCH", epoch)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    shell::run(&mut cargo)
}

/// Copies files of the installed tree to one of their own.
fn tree(job: &Job, name: &str, has: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let tree = job.scratch.join(name);
    for path in files(&job.root)? {
        let known = path.strip_prefix(&job.root)?;
        if !has(&Path::new("/").join(known)) {
            continue;
        }
        let to = tree.join(known);
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        match fs::read_link(&path) {
            Ok(target) => std::os::unix::fs::symlink(relative(known, &target), &to)?,
            Err(_) => shell::quiet(Command::new("cp").arg("--archive").arg(&path).arg(&to))?,
        }
    }
    Ok(tree)
}

/// The target of a link, seen from its folder if both lie in the same folder of the root, as packages have it.
fn relative(link: &Path, target: &Path) -> PathBuf {
    let Ok(below) = target.strip_prefix("/usr") else {
        return target.to_owned();
    };
    let Ok(own) = link.strip_prefix("usr") else {
        return target.to_owned();
    };
    let folders = own.parent().into_iter().flat_map(Path::components).count();
    let shared = own
        .components()
        .zip(below.components())
        .take_while(|(own, below)| own == below);
    let shared = shared.count().min(folders);
    let up = std::iter::repeat_n("..", folders - shared);
    up.map(PathBuf::from)
        .chain(
            below
                .components()
                .skip(shared)
                .map(|part| PathBuf::from(part.as_os_str())),
        )
        .collect()
}

/// Every file and link below a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Compresses man pages, as both families of distributions have them.
fn compress_manuals(tree: &Path) -> Result<()> {
    let man = tree.join("usr/share/man");
    if !man.is_dir() {
        return Ok(());
    }
    for page in files(&man)? {
        let mut name = page.clone().into_os_string();
        name.push(".gz");
        if let Ok(target) = fs::read_link(&page) {
            // Beside it, whichever package has the page.
            let target = target.file_name().context("a link leads to a file")?;
            let target = format!("{}.gz", target.to_string_lossy());
            fs::remove_file(&page)?;
            std::os::unix::fs::symlink(target, &name)?;
        } else {
            shell::quiet(Command::new("gzip").args(["-9", "--no-name"]).arg(&page))?;
        }
    }
    Ok(())
}

/// Writes a text with a mode.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// SHA-256 of a file, in hexadecimal digits.
fn sha256(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Writes SHA256SUMS of these files.
fn sums(job: &Job, made: &[PathBuf]) -> Result<()> {
    let mut text = String::new();
    for path in made {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text = format!("{text}{}  {name}\n", sha256(&fs::read(path)?));
    }
    write(&job.to.join("SHA256SUMS"), &text, 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_within_a_folder_of_the_root() {
        for (link, target, expected) in [
            ("usr/sbin/ipvsadm", "/usr/sbin/lvsadm", "lvsadm"),
            ("usr/share/a/b", "/usr/sbin/lvsd", "../../sbin/lvsd"),
            ("etc/ha.d/lvs", "/usr/sbin/lvsd", "/usr/sbin/lvsd"),
        ] {
            assert_eq!(
                relative(Path::new(link), Path::new(target)),
                Path::new(expected)
            );
        }
    }
}
