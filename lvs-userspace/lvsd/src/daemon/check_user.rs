//! The user that commands of health checks run as.

use anyhow::{Context as _, Result, bail};
use lvs_health::check::Check;
use lvs_process::privileges;
use lvs_process::user::User;
use nix::unistd::Uid;

use crate::config_file::File;

/// The user unless `--check-user` names one.
const DEFAULT: &str = "nobody";

/// User of the commands for which the file names none; none: that of the daemon, which is not root. An error if a
/// health check of the file could not run its command for want of the user or of privileges.
pub(super) fn find(named: Option<&str>, file: Option<&File>) -> Result<Option<User>> {
    if named.is_none() && !Uid::effective().is_root() {
        return Ok(None);
    }
    let name = named.unwrap_or(DEFAULT);
    let user = User::find(name);
    let commands = commands(file);
    if named.is_none() && commands.iter().all(|check| check.user.is_some()) {
        lacks_nothing(&commands, None)?;
        // Servers that are found later may need one: never the daemon's own.
        return Ok(Some(user.unwrap_or_else(|_| User::overflow())));
    }
    let user = user.with_context(|| {
        format!(
            "health checks run commands as the user {name}: name another one by `checkuser = USER' in the file, or by \
             --check-user"
        )
    })?;
    lacks_nothing(&commands, Some(&user))?;
    Ok(Some(user))
}

/// The health checks of a file that run a command.
fn commands(file: Option<&File>) -> Vec<&Check> {
    let Some(File::Services(services)) = file else {
        return Vec::new();
    };
    let servers = services
        .virtuals
        .iter()
        .flat_map(|service| &service.servers);
    let checks = servers.flat_map(|server| &server.checks);
    checks
        .map(|check| &**check)
        .filter(|check| check.runs_command())
        .collect()
}

fn lacks_nothing(commands: &[&Check], default: Option<&User>) -> Result<()> {
    let users = commands
        .iter()
        .filter_map(|check| check.user.as_ref().or(default));
    let Some(user) = users.into_iter().find(|user| !user.is_root()) else {
        return Ok(());
    };
    let lacking = privileges::lacking_for_other_users()?;
    if lacking.is_empty() {
        return Ok(());
    }
    let lacking: Vec<_> = lacking.iter().map(ToString::to_string).collect();
    bail!(
        "health checks run commands as the user {user}, for which lvsd lacks {}: grant it, or run them as root \
         (`checkuser = root')",
        lacking.join(", ")
    )
}
