//! The routing daemons: BIRD, or FRR's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::eventually;
use crate::lab::requirements::{self, Missing};
use crate::lab::{Namespace, command_output, island};

/// The folder of FRR's daemons in Debian.
const FRR: &str = "/usr/lib/frr";
/// Those that are needed, in the order in which they start.
const DAEMONS: [&str; 3] = ["zebra", "bfdd", "bgpd"];
/// How long a daemon may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// The routing daemons of the directors and of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// BIRD 2.
    Bird,
    /// zebra, bgpd and bfdd of FRR.
    Frr,
}

impl Routing {
    /// The configuration of a director; `OWN`, `ROUTER` and `VIRTUAL` stand for addresses.
    pub fn director(self) -> &'static str {
        match self {
            Self::Bird => include_str!("bird-director.conf"),
            Self::Frr => include_str!("frr-director.conf"),
        }
    }

    /// The configuration of the router, to which its [neighbours](Self::neighbour) are added.
    pub fn router(self) -> &'static str {
        match self {
            Self::Bird => include_str!("bird-router.conf"),
            Self::Frr => include_str!("frr-router.conf"),
        }
    }

    /// The lines about one director in the router's configuration.
    pub(super) fn neighbour(self, number: u8, address: &str) -> String {
        match self {
            Self::Bird => format!(
                "protocol bgp director{number} from directors {{ neighbor {address} as 65001; }}\n"
            ),
            Self::Frr => {
                format!("router bgp 65000\n neighbor {address} peer-group directors\nexit\n")
            }
        }
    }

    /// True if its programs are installed.
    pub fn obstacle(self) -> Result<(), Missing> {
        requirements::check()?;
        let is_there = match self {
            Self::Bird => requirements::find("bird").is_some(),
            Self::Frr => {
                requirements::find("vtysh").is_some() && Path::new(FRR).join("bgpd").is_file()
            }
        };
        if is_there {
            return Ok(());
        }
        let what = format!("{self:?} is not installed: run `cargo xtask setup`");
        Err(Missing(what))
    }

    /// Starts it on a host, with a folder that it may have for itself.
    pub(super) fn start(
        self,
        namespace: &Namespace,
        folder: &Path,
        configuration: &str,
    ) -> Result<Vec<Child>> {
        fs::create_dir(folder)?;
        match self {
            Self::Bird => Ok(vec![bird(namespace, folder, configuration)?]),
            Self::Frr => frr(namespace, folder, configuration),
        }
    }
}

fn bird(namespace: &Namespace, folder: &Path, configuration: &str) -> Result<Child> {
    let file = folder.join("bird.conf");
    fs::write(&file, configuration)?;
    let mut bird = Command::new(requirements::find("bird").context("bird is missing")?);
    bird.arg("-f").arg("-c").arg(file);
    bird.arg("-s").arg(folder.join("bird.ctl"));
    spawn(namespace, &mut bird, &folder.join("bird.log"))
}

/// The daemons start without a configuration, and `vtysh` gives each its part of the one file, as FRR's own
/// start does it.
fn frr(namespace: &Namespace, folder: &Path, configuration: &str) -> Result<Vec<Child>> {
    let (file, nothing) = (folder.join("frr.conf"), folder.join("nothing"));
    fs::write(&file, configuration)?;
    fs::write(folder.join("vtysh.conf"), "")?;
    fs::write(&nothing, "")?;
    // They do not stay root.
    for path in [folder, &nothing] {
        island::give(path, "frr")?;
    }
    let mut children = Vec::new();
    for name in DAEMONS {
        let mut daemon = Command::new(Path::new(FRR).join(name));
        daemon.arg("-f").arg(&nothing);
        daemon.arg("-i").arg(folder.join(format!("{name}.pid")));
        daemon.arg("-z").arg(folder.join("zserv"));
        daemon.arg("--vty_socket").arg(folder);
        if name == "bfdd" {
            daemon.arg("--bfdctl").arg(folder.join("bfdctl"));
        }
        let log = folder.join(format!("{name}.log"));
        children.push(spawn(namespace, &mut daemon, &log)?);
        let listens: PathBuf = folder.join(format!("{name}.vty"));
        ensure!(
            eventually(PATIENCE, || listens.exists()),
            "{name} does not listen: {}",
            fs::read_to_string(log)?
        );
    }
    let vtysh = requirements::find("vtysh").context("vtysh is missing")?;
    let mut vtysh = Command::new(vtysh);
    vtysh.arg("--vty_socket").arg(folder);
    vtysh.arg("--config_dir").arg(folder).arg("-b");
    command_output(&mut vtysh)?;
    Ok(children)
}

fn spawn(namespace: &Namespace, command: &mut Command, log: &Path) -> Result<Child> {
    let log = File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?);
    command.stderr(log);
    namespace.spawn(command)
}
