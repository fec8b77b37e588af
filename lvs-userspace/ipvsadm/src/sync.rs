//! The options of `--start-daemon` and `--stop-daemon`, and the listing of `-L --daemon`.

use std::io::{self, Write};
use std::net::IpAddr;

use lvs_api::sync::{
    DEFAULT_GROUP, DEFAULT_PORT, DEFAULT_TTL, SyncDaemon, SyncDaemonStatus, SyncRole,
};

use super::error::UsageError;
use super::number::number;
use super::option::{CommandName, OptionName};

/// Options of connection synchronization.
#[derive(Default)]
pub(super) struct SyncArguments {
    role: Option<SyncRole>,
    interface: Option<String>,
    group: Option<IpAddr>,
    port: Option<u16>,
    ttl: Option<u8>,
    syncid: u8,
    max_length: Option<u16>,
}

impl SyncArguments {
    /// Reads the word that follows the commands.
    pub(super) fn begin(
        &mut self,
        name: CommandName,
        role: Option<&str>,
    ) -> Result<(), UsageError> {
        let error = match name {
            CommandName::StartDaemon => UsageError::StartDaemon,
            CommandName::StopDaemon => UsageError::StopDaemon,
            _ => return Ok(()),
        };
        self.role = match role {
            Some("master") => Some(SyncRole::Master),
            Some("backup") => Some(SyncRole::Backup),
            _ => return Err(error),
        };
        Ok(())
    }

    /// Reads an option; false: it is none of synchronization.
    pub(super) fn read(&mut self, option: OptionName, value: &str) -> Result<bool, UsageError> {
        let byte = |from| number(value, from..=255).and_then(|value| value.try_into().ok());
        let short = |to| number(value, 1..=to).and_then(|value| value.try_into().ok());
        match option {
            OptionName::SyncId => self.syncid = byte(0).ok_or(UsageError::SyncId)?,
            OptionName::MulticastInterface => self.interface = Some(value.to_owned()),
            OptionName::MulticastGroup => self.group = Some(multicast_group(value)?),
            OptionName::MulticastPort => {
                self.port = Some(short(65535).ok_or(UsageError::MulticastPort)?);
            }
            OptionName::MulticastTtl => self.ttl = Some(byte(1).ok_or(UsageError::MulticastTtl)?),
            OptionName::SyncMaxLength => {
                self.max_length = Some(short(65507).ok_or(UsageError::SyncMaxLength)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn role(&self) -> Result<SyncRole, UsageError> {
        self.role.ok_or(UsageError::StopDaemon)
    }

    pub(super) fn daemon(&self) -> Result<SyncDaemon, UsageError> {
        Ok(SyncDaemon {
            role: self.role.ok_or(UsageError::StartDaemon)?,
            interface: self.interface.clone().unwrap_or_else(|| "eth0".to_owned()),
            syncid: self.syncid,
            group: self.group,
            port: self.port,
            ttl: self.ttl,
            max_length: self.max_length,
        })
    }
}

/// Running daemons, one a line, as ipvsadm prints them.
pub fn print(out: &mut impl Write, daemons: &[SyncDaemonStatus]) -> io::Result<()> {
    for SyncDaemonStatus { daemon, .. } in daemons {
        let SyncDaemon {
            role,
            interface,
            syncid,
            ..
        } = daemon;
        writeln!(
            out,
            "{} sync daemon (mcast={interface}, syncid={syncid}, maxlen={}, group={}, port={}, ttl={})",
            role.name(),
            daemon.max_length.unwrap_or_default(),
            daemon.group.unwrap_or(DEFAULT_GROUP),
            daemon.port.unwrap_or(DEFAULT_PORT),
            daemon.ttl.unwrap_or(DEFAULT_TTL),
        )?;
    }
    Ok(())
}

fn multicast_group(text: &str) -> Result<IpAddr, UsageError> {
    let family = if text.contains(':') { "IPv6" } else { "IPv4" };
    let group = text.parse().ok().filter(IpAddr::is_multicast);
    group.ok_or_else(|| UsageError::MulticastGroup {
        family,
        group: text.to_owned(),
    })
}
