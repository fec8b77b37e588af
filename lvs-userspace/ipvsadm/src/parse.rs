//! Parser of command lines into [`Command`]s.
//!
//! Errors are found in ipvsadm's order: wrong values as they are read, then unexpected words, then options that
//! the command does not allow, then contradictions.

use std::path::PathBuf;

use lvs_api::model::Protocol;
use lvs_api::protocol::Edit;
use lvs_api::sysctl;
use lvs_api::timeouts::Timeouts;

use super::command::{Command, Invocation, Listing, View};
use super::error::UsageError;
use super::mark_options::MarkOptions;
use super::number::timeout;
use super::option::{CommandName, OptionName, Rule, Switch};
use super::proc_file::ProcFile;
use super::server_options::ServerOptions;
use super::service_options::ServiceOptions;
use super::sync::SyncArguments;
use super::word::{Item, Words};

/// Parses a command line; `words` are without the program's own name, `program` in error texts.
pub fn parse(program: &str, words: Vec<String>) -> Result<Invocation, UsageError> {
    let mut line = Line::default();
    for item in Words::new(words) {
        // Until a command is known, every error points to the help.
        let item = match item {
            Err(_) if line.command.is_none() => {
                return Err(UsageError::NoCommand(program.to_owned()));
            }
            other => other?,
        };
        match item {
            Item::Word(word) => line.words.push(word),
            Item::Switch {
                switch: Switch::Socket,
                value,
                ..
            } => line.socket = value.map(PathBuf::from),
            Item::Switch {
                switch: Switch::Command(name),
                written,
                value,
            } => {
                if line.command.is_some() {
                    return Err(UsageError::SecondCommand(value.unwrap_or(written)));
                }
                line.command = Some(name);
                line.sync.begin(name, value.as_deref())?;
                match name {
                    CommandName::Mark => {
                        line.mark.set_mark(value.as_deref().unwrap_or_default())?;
                    }
                    CommandName::Proc => {
                        let name = value.as_deref().unwrap_or_default();
                        let file = ProcFile::find(name).ok_or_else(|| UsageError::Proc {
                            name: name.to_owned(),
                        })?;
                        line.proc = Some(file);
                    }
                    CommandName::Sysctl => line.sysctl = value,
                    _ => {}
                }
                if matches!(name, CommandName::Help | CommandName::Version) {
                    break;
                }
            }
            Item::Switch { switch, value, .. } => {
                if line.command.is_none() {
                    return Err(UsageError::NoCommand(program.to_owned()));
                }
                line.set(switch, value.as_deref())?;
            }
        }
    }
    match line.command {
        Some(name) => line.finish(name),
        None if line.words.is_empty() => line.finish(CommandName::List),
        None => Err(UsageError::NoCommand(program.to_owned())),
    }
}

/// The part of a command line that was read so far.
#[derive(Default)]
struct Line {
    command: Option<CommandName>,
    socket: Option<PathBuf>,
    words: Vec<String>,
    given: Vec<OptionName>,
    service: ServiceOptions,
    server: ServerOptions,
    sync: SyncArguments,
    mark: MarkOptions,
    /// `NAME` or `NAME=VALUE`.
    sysctl: Option<String>,
    proc: Option<ProcFile>,
}

impl Line {
    fn set(&mut self, switch: Switch, value: Option<&str>) -> Result<(), UsageError> {
        if let Some(option) = switch.option() {
            if self.has(option) {
                return Err(UsageError::Repeated(option.name()));
            }
            self.given.push(option);
        }
        let text = value.unwrap_or_default();
        match switch {
            Switch::Tcp => self.service.set_address(Protocol::Tcp, text)?,
            Switch::Udp => self.service.set_address(Protocol::Udp, text)?,
            Switch::Sctp => self.service.set_address(Protocol::Sctp, text)?,
            Switch::Mark => self.service.set_mark(text)?,
            Switch::Ipv6 => self.service.set_ipv6()?,
            Switch::Forward(method) => self.server.method = method,
            Switch::Plain(OptionName::Server) => self.server.set_address(text, self.service.id)?,
            Switch::Plain(option) => {
                // Any other option has no value: `given` holds it.
                let _known = self.service.set(option, value)?
                    || self.server.set(option, text)?
                    || self.mark.set(option, text)?
                    || self.sync.read(option, text)?;
            }
            Switch::Sort | Switch::Command(_) | Switch::Socket => {}
        }
        Ok(())
    }

    fn has(&self, option: OptionName) -> bool {
        self.given.contains(&option)
    }

    fn finish(mut self, name: CommandName) -> Result<Invocation, UsageError> {
        let command = match name {
            CommandName::Help => Command::Help,
            CommandName::Version => Command::Version,
            _ => self.command(name)?,
        };
        Ok(Invocation {
            socket: self.socket,
            command,
        })
    }

    fn command(&mut self, name: CommandName) -> Result<Command, UsageError> {
        let timeouts = if name == CommandName::Set {
            Some(self.three_timeouts()?)
        } else {
            None
        };
        if let Some(word) = self.words.first() {
            return Err(UsageError::UnexpectedWord(word.clone()));
        }
        self.service.scheduler_flags()?;
        self.check_rules(name)?;

        // The rules require a service wherever one is needed.
        let service = || self.service.id.ok_or(UsageError::ServiceAddress);
        Ok(match name {
            CommandName::AddService => {
                let service = service()?;
                let settings = self.service.settings(service)?;
                Command::Edit(Edit::AddService { service, settings })
            }
            CommandName::EditService => {
                let service = service()?;
                let settings = self.service.settings(service)?;
                Command::Edit(Edit::EditService { service, settings })
            }
            CommandName::DeleteService => Command::Edit(Edit::DeleteService {
                service: service()?,
            }),
            CommandName::Flush => Command::Edit(Edit::Flush),
            CommandName::Zero => Command::Edit(Edit::Zero {
                service: self.service.id,
            }),
            CommandName::AddServer => {
                let service = service()?;
                let (server, settings) = self.server.settings(service)?;
                Command::Edit(Edit::AddServer {
                    service,
                    server,
                    settings,
                })
            }
            CommandName::EditServer => {
                let service = service()?;
                let (server, settings) = self.server.settings(service)?;
                Command::Edit(Edit::EditServer {
                    service,
                    server,
                    settings,
                })
            }
            CommandName::DeleteServer => {
                let service = service()?;
                Command::Edit(Edit::DeleteServer {
                    service,
                    server: self.server.id(service)?,
                })
            }
            CommandName::Set => Command::Edit(Edit::SetTimeouts(
                timeouts.ok_or(UsageError::ThreeTimeouts)?,
            )),
            CommandName::List => self.list()?,
            CommandName::Save => Command::Save {
                numeric: self.has(OptionName::Numeric),
            },
            CommandName::Restore => Command::Restore {
                atomic: self.has(OptionName::Atomic),
            },
            CommandName::StartDaemon => Command::StartDaemon(self.sync.daemon()?),
            CommandName::StopDaemon => Command::StopDaemon(self.sync.role()?),
            CommandName::Verdicts => Command::Verdicts {
                all: self.has(OptionName::Exact),
            },
            CommandName::Status => Command::Status,
            CommandName::Mark => Command::Edit(Edit::Mark(self.mark.rule(self.service.id)?)),
            CommandName::ListMarks => Command::ListMarks,
            CommandName::ImportMarks => Command::ImportMarks,
            CommandName::Sysctl => self.sysctl()?,
            CommandName::Proc => Command::Proc(self.proc.ok_or_else(|| UsageError::Proc {
                name: String::new(),
            })?),
            CommandName::Help => Command::Help,
            CommandName::Version => Command::Version,
        })
    }

    /// All settings, one, or a value for one.
    fn sysctl(&self) -> Result<Command, UsageError> {
        let Some(text) = &self.sysctl else {
            return Ok(Command::Sysctls { only: None });
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text.as_str(), None),
        };
        let found = sysctl::Name::find(name)?;
        match value {
            Some(value) => {
                found.parse(value)?;
                Ok(Command::Edit(Edit::SetSysctl {
                    name: found.sysctl().name.to_owned(),
                    value: value.to_owned(),
                }))
            }
            None => Ok(Command::Sysctls { only: Some(found) }),
        }
    }

    fn check_rules(&self, name: CommandName) -> Result<(), UsageError> {
        let [required, allowed] = name.options();
        let fits = |option: &OptionName| required.contains(option) || allowed.contains(option);
        if self.given.iter().all(fits) && required.iter().all(|option| self.has(*option)) {
            return Ok(());
        }
        let command = name.name();
        for option in OptionName::ALL {
            match (name.rule(*option), self.has(*option)) {
                (Rule::Required, false) => {
                    return Err(UsageError::Missing {
                        option: option.name(),
                        command,
                    });
                }
                (Rule::Illegal, true) => {
                    return Err(UsageError::Illegal {
                        option: option.name(),
                        command,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<Command, UsageError> {
        use OptionName as O;
        let mut subjects = [O::Connection, O::Service, O::Timeout, O::Daemon]
            .into_iter()
            .filter(|o| self.has(*o));
        let subject = subjects.next();
        if let (Some(first), Some(second)) = (subject, subjects.next()) {
            let (option, other) = (second.name(), first.name());
            return Err(UsageError::Conflict {
                option,
                other,
                command: CommandName::List.name(),
            });
        }
        let counts = [O::Stats, O::Rate, O::Thresholds]
            .into_iter()
            .any(|o| self.has(o));
        let engines = self.has(O::PersistentConnections);
        match subject {
            Some(O::Connection) if counts => Err(UsageError::ListConflict),
            Some(O::Timeout | O::Daemon) if counts || engines => Err(UsageError::ListConflict),
            Some(O::Connection) => Ok(Command::Connections {
                numeric: self.has(O::Numeric),
                engines,
            }),
            Some(O::Timeout) => Ok(Command::Timeouts),
            Some(O::Daemon) => Ok(Command::SyncDaemons),
            _ => {
                // The first of them wins where several are given.
                let view = [
                    (O::Stats, View::Stats),
                    (O::Rate, View::Rate),
                    (O::Thresholds, View::Thresholds),
                    (O::PersistentConnections, View::PersistentConnections),
                    (O::TunnelInfo, View::TunnelInfo),
                ]
                .into_iter()
                .find(|(option, _)| self.has(*option))
                .map_or(View::Plain, |(_, view)| view);
                let listing = Listing {
                    view,
                    numeric: self.has(O::Numeric),
                    exact: self.has(O::Exact),
                    sort: !self.has(O::NoSort),
                };
                Ok(Command::Services {
                    only: self.service.id,
                    listing,
                })
            }
        }
    }

    /// Parses the timeouts of `--set`: the first three words, wherever they stand.
    fn three_timeouts(&mut self) -> Result<Timeouts, UsageError> {
        if self.words.len() < 3 {
            return Err(UsageError::ThreeTimeouts);
        }
        let values: Vec<_> = self.words.drain(..3).collect();
        match values.as_slice() {
            [tcp, tcp_fin, udp] => Ok(Timeouts {
                tcp: timeout(tcp, 0)?,
                tcp_fin: timeout(tcp_fin, 0)?,
                udp: timeout(udp, 0)?,
            }),
            _ => Err(UsageError::ThreeTimeouts),
        }
    }
}

#[cfg(test)]
#[path = "parse_tests/mod.rs"]
mod tests;
