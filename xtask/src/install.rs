//! `cargo xtask install` and `cargo xtask uninstall`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{build, shell};
use pieces::{Link, PIECES, Piece};

pub(crate) use pieces::Name;

mod pieces;

/// Build lvsd and lvsadm and install them, with the files of init systems and cluster managers.
///
/// It prints each path, leaves files alone that are up to date, and starts nothing. Files for
/// Heartbeat, Pacemaker, keepalived, systemd and init have no effect without these programs;
/// contrib/README.md describes each file.
///
///   cargo xtask install
///   cargo xtask install --ipvsadm                      ipvsadm, ipvsadm-save, ipvsadm-restore, too
///   DESTDIR=/tmp/package cargo xtask install           below a folder, for a package
///   PREFIX=/usr/local cargo xtask install              programs in /usr/local/sbin
///
/// Man pages and completions are printed by the programs themselves (`lvsd --generate man`).
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Install {
    #[command(flatten)]
    destination: Destination,
    /// Take lvsd and lvsadm from this folder and build nothing.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Link ipvsadm, ipvsadm-save and ipvsadm-restore to lvsadm; never over another program.
    #[arg(long)]
    ipvsadm: bool,
    /// Link ldirectord to lvsd, in haresources too; never over another program.
    #[arg(long)]
    ldirectord: bool,
    /// Only print what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// Remove what `cargo xtask install` installs.
///
/// An edited /etc/default/lvsd and all configuration files stay. A running director keeps running:
/// stop it first if it is to end.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    destination: Destination,
    /// Only print what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// The root folder and the prefix of an installation.
#[derive(Args)]
struct Destination {
    /// Install below this folder, which the installed files do not mention [env: DESTDIR]
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
    /// Programs go to its sbin, scripts of the director's own to its lib/lvs [env: PREFIX]
    /// [default: /usr]
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

impl Destination {
    /// Fills in DESTDIR and PREFIX from the environment.
    fn resolve(&mut self) -> Result<()> {
        let named = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let destdir = self.destdir.take().or_else(|| named("DESTDIR"));
        let prefix = self.prefix.take().or_else(|| named("PREFIX"));
        let prefix = prefix.unwrap_or_else(|| "/usr".into());
        if !prefix.is_absolute() {
            bail!("the prefix {} is not absolute", prefix.display());
        }
        self.destdir = destdir.map(std::path::absolute).transpose()?;
        self.prefix = Some(prefix);
        Ok(())
    }

    fn prefix(&self) -> &Path {
        self.prefix.as_deref().unwrap_or(Path::new("/usr"))
    }

    /// The path of a file in the installed system.
    fn known(&self, path: &str) -> PathBuf {
        // An absolute one stays what it is: others look there.
        self.prefix().join(path)
    }

    /// That path below DESTDIR.
    fn at(&self, known: &Path) -> PathBuf {
        let Some(destdir) = &self.destdir else {
            return known.to_owned();
        };
        destdir.join(known.strip_prefix("/").unwrap_or(known))
    }

    /// True if only root can do this.
    fn needs_root(&self) -> bool {
        self.destdir.is_none() && !shell::is_root()
    }
}

impl Install {
    pub(crate) fn execute(mut self) -> Result<()> {
        self.destination.resolve()?;
        let programs = match (&self.programs, self.dry_run) {
            (Some(folder), _) => std::path::absolute(folder)?,
            (None, true) => shell::target_dir().join("release"),
            (None, false) => {
                setup::ensure(&[Purpose::Build])?;
                build::build()?;
                shell::target_dir().join("release")
            }
        };
        if self.destination.needs_root() && !self.dry_run {
            return self.as_root(&programs);
        }
        let destination = &self.destination;
        for piece in PIECES {
            let known = destination.known(piece.to);
            let content = piece.content(&programs)?;
            if content.is_none() && !self.dry_run {
                bail!("there are no programs in {}", programs.display());
            }
            let content = content.map(|content| piece.render(content, destination.prefix()));
            self.put(piece, &known, content.as_deref())?;
        }
        for link in self.links() {
            self.link(link)?;
        }
        Ok(())
    }

    /// Runs the installation again as root, with the built programs.
    fn as_root(&self, programs: &Path) -> Result<()> {
        let mut again = shell::as_root(env::current_exe()?)?;
        again.arg("install").arg("--programs").arg(programs);
        again.arg("--prefix").arg(self.destination.prefix());
        for (asked, option) in [
            (self.ipvsadm, "--ipvsadm"),
            (self.ldirectord, "--ldirectord"),
        ] {
            if asked {
                again.arg(option);
            }
        }
        shell::run(&mut again)
    }

    fn links(&self) -> impl Iterator<Item = &'static Link> {
        let (ipvsadm, ldirectord) = (self.ipvsadm, self.ldirectord);
        pieces::LINKS.iter().filter(move |link| match link.of {
            Name::Ipvsadm => ipvsadm,
            Name::Ldirectord => ldirectord,
        })
    }

    fn put(&self, piece: &Piece, known: &Path, content: Option<&[u8]>) -> Result<()> {
        let path = self.destination.at(known);
        let found = fs::read(&path).ok();
        let verdict = match &found {
            Some(found) if Some(found.as_slice()) == content => "unchanged",
            Some(_) if piece.is_configuration => "kept as it is",
            Some(_) => "replaced",
            None => "installed",
        };
        let (path_text, why) = (known.display(), piece.why);
        println!("{verdict:<13} {path_text:<42} {why}");
        if self.dry_run || verdict == "kept as it is" {
            return Ok(());
        }
        let content = content.context("nothing to install")?;
        write(&path, content, piece.mode)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn link(&self, link: &Link) -> Result<()> {
        let known = self.destination.known(link.name);
        let path = self.destination.at(&known);
        let target = self.destination.known(link.target);
        let verdict = match (fs::read_link(&path), fs::symlink_metadata(&path)) {
            (Ok(found), _) if found == target => "unchanged",
            (Ok(_), _) => "replaced",
            (Err(_), Ok(_)) => bail!(
                "{} is there and no link: remove it first, or its package",
                path.display()
            ),
            (Err(_), Err(_)) => "installed",
        };
        let (path_text, target_text) = (known.display(), target.display());
        println!("{verdict:<13} {path_text:<42} a link to {target_text}");
        if self.dry_run || verdict == "unchanged" {
            return Ok(());
        }
        let folder = path.parent().context("a link is in a folder")?;
        fs::create_dir_all(folder)?;
        if verdict == "replaced" {
            fs::remove_file(&path)?;
        }
        std::os::unix::fs::symlink(&target, &path)
            .with_context(|| format!("cannot make {}", path.display()))
    }
}

impl Uninstall {
    pub(crate) fn execute(mut self) -> Result<()> {
        self.destination.resolve()?;
        if self.destination.needs_root() && !self.dry_run {
            let mut again = shell::as_root(env::current_exe()?)?;
            again
                .arg("uninstall")
                .arg("--prefix")
                .arg(self.destination.prefix());
            return shell::run(&mut again);
        }
        for link in pieces::LINKS {
            let path = self.destination.at(&self.destination.known(link.name));
            let ours = self.destination.known(link.target);
            if fs::read_link(&path).is_ok_and(|target| target == ours) {
                self.remove(&path)?;
            }
        }
        for piece in PIECES {
            let path = self.destination.at(&self.destination.known(piece.to));
            let Ok(found) = fs::read(&path) else {
                continue;
            };
            if piece.is_configuration {
                let ours = piece
                    .content(Path::new(""))
                    .ok()
                    .flatten()
                    .unwrap_or_default();
                if piece.render(ours, self.destination.prefix()) != found {
                    println!("{:<13} {}", "kept as it is", path.display());
                    continue;
                }
            }
            self.remove(&path)?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        println!("{:<13} {}", "removed", path.display());
        if self.dry_run {
            return Ok(());
        }
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        // A folder of the director's own goes with its last file.
        let folder = path.parent();
        if let Some(folder) = folder.filter(|folder| folder.file_name() == Some(OsStr::new("lvs")))
        {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// Installs everything with all links below a folder, for packages.
pub(crate) fn stage(destdir: &Path, programs: &Path) -> Result<()> {
    let install = Install {
        destination: Destination {
            destdir: Some(destdir.to_owned()),
            prefix: Some("/usr".into()),
        },
        programs: Some(programs.to_owned()),
        ipvsadm: true,
        ldirectord: true,
        dry_run: false,
    };
    install.execute()
}

/// Paths of the links of a program's name.
pub(crate) fn names(of: Name) -> impl Iterator<Item = PathBuf> {
    let links = pieces::LINKS.iter().filter(move |link| link.of == of);
    links.map(|link| Path::new("/usr").join(link.name))
}

/// Writes a file beside its place and moves it there: who runs or reads the old one keeps it.
fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    fs::write(&new, content)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
    fs::rename(&new, path)
}
