//! `cargo xtask run`.

use std::os::unix::process::CommandExt as _;

use anyhow::{Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{build, shell};

/// Run the lab as a demo, or, with options for lvsd, the director on this machine.
///
/// Without options: the demo. A client, a director and three real servers in network namespaces,
/// requests by every forwarding method over IPv4 and IPv6, and a live count of answers by server. It
/// ends on Ctrl-C, or after `--for SECONDS`, and leaves nothing behind.
///
/// With options after `--`, lvsd runs on this machine's own interfaces:
///
///   cargo xtask run -- --config director.conf --interface eth0
///
/// All of them go to lvsd; `cargo xtask run -- --help` shows lvsd's own help.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Run {
    /// End the demo by itself after this many seconds.
    #[arg(long = "for", value_name = "SECONDS", conflicts_with = "director")]
    seconds: Option<u64>,
    /// Options of lvsd.
    #[arg(last = true, value_name = "LVSD OPTIONS")]
    director: Vec<String>,
}

impl Run {
    pub(crate) fn execute(&self) -> Result<()> {
        let demo = self.director.is_empty();
        let purposes: &[Purpose] = if demo {
            &[Purpose::Build, Purpose::Lab]
        } else {
            &[Purpose::Build]
        };
        setup::ensure(purposes)?;
        build::build()?;
        let folder = shell::target_dir().join("release");
        let mut command = if demo {
            let mut command = shell::as_root(folder.join("lab"))?;
            command.arg("demo");
            if let Some(seconds) = self.seconds {
                command.args(["--for", &seconds.to_string()]);
            }
            command
        } else {
            let mut command = shell::as_root(folder.join("lvsd"))?;
            command.args(&self.director);
            command
        };
        eprintln!("+ {}", shell::text(&command));
        // In our place, so that Ctrl-C reaches the one that has to clean up, and the terminal waits.
        let error = command.exec();
        bail!("cannot start `{}`: {error}", shell::text(&command))
    }
}
