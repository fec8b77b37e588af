//! From the words of a command line to a [`Command`].
//!
//! What is wrong is found in ipvsadm's order: values as they are read, then words nobody asked for, then
//! options that do not go with the command, then what does not make sense together.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::{address, prefix};
use super::command::{Command, Invocation, Listing, View};
use super::error::UsageError;
use super::names::ServiceNames;
use super::number::number;
use super::option::{CommandName, OptionName, Rule, Switch};
use super::scheduler_flags;
use super::server::ServerOptions;
use super::sync::SyncOptions;
use super::word::{Item, Words};
use crate::control::protocol::{Edit, Timeouts};
use crate::model::{Family, Persistence, Protocol, ServiceId, ServiceSettings};

/// What `-p` without a value means.
const DEFAULT_PERSISTENCE: u32 = 360;
/// A month of 31 days: the longest time IPVS takes.
const MAX_TIMEOUT: u32 = 31 * 24 * 60 * 60;
const DEFAULT_SCHEDULER: &str = "wlc";
/// The kernel's names have room for 15 letters; more are cut off.
const MAX_NAME: usize = 15;

/// Understands a command line; `words` without the program's own name, which messages call `program`.
pub fn parse(program: &str, words: Vec<String>) -> Result<Invocation, UsageError> {
    let mut line = Line::default();
    for item in Words::new(words) {
        // Until a command is known there is nothing better to say than where the help is.
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
                if matches!(name, CommandName::Help | CommandName::Version) {
                    break;
                }
            }
            Item::Switch { switch, value, .. } => {
                if line.command.is_none() {
                    return Err(UsageError::NoCommand(program.to_owned()));
                }
                line.take(switch, value)?;
            }
        }
    }
    match line.command {
        Some(name) => line.finish(name),
        None if line.words.is_empty() => line.finish(CommandName::List),
        None => Err(UsageError::NoCommand(program.to_owned())),
    }
}

/// A command line as far as it was read.
#[derive(Default)]
struct Line {
    command: Option<CommandName>,
    socket: Option<PathBuf>,
    words: Vec<String>,
    given: Vec<OptionName>,
    service: Option<ServiceId>,
    scheduler: Option<String>,
    scheduler_flags: Option<String>,
    engine: Option<String>,
    persistence: Option<u32>,
    /// Prefix length, and the family it was read for.
    netmask: Option<(Family, u8)>,
    server: ServerOptions,
    sync: SyncOptions,
}

impl Line {
    fn take(&mut self, switch: Switch, value: Option<String>) -> Result<(), UsageError> {
        if let Some(option) = switch.option() {
            if self.has(option) {
                return Err(UsageError::Repeated(option.name()));
            }
            self.given.push(option);
        }
        let text = value.as_deref().unwrap_or_default();
        match switch {
            Switch::Tcp => self.service_address(Protocol::Tcp, text),
            Switch::Udp => self.service_address(Protocol::Udp, text),
            Switch::Sctp => self.service_address(Protocol::Sctp, text),
            Switch::Mark => {
                let mark = number(text, 1..=u32::MAX).ok_or(UsageError::Mark(text.to_owned()))?;
                self.service = Some(ServiceId::Mark {
                    mark,
                    family: Family::Ipv4,
                });
                Ok(())
            }
            Switch::Ipv6 => match &mut self.service {
                Some(ServiceId::Mark { family, .. }) => {
                    *family = Family::Ipv6;
                    Ok(())
                }
                _ => Err(UsageError::Ipv6BeforeMark),
            },
            Switch::Forward(method) => {
                self.server.method = method;
                Ok(())
            }
            Switch::Plain(option) => {
                if !self.server.take(option, text)? && !self.sync.take(option, text)? {
                    self.plain(option, value)?;
                }
                Ok(())
            }
            Switch::Sort | Switch::Command(_) | Switch::Socket => Ok(()),
        }
    }

    fn service_address(&mut self, protocol: Protocol, text: &str) -> Result<(), UsageError> {
        let (ip, port) =
            address(text, protocol, ServiceNames::system()).ok_or(UsageError::ServiceAddress)?;
        let address = SocketAddr::new(ip, port.unwrap_or(0));
        self.service = Some(ServiceId::Address { protocol, address });
        Ok(())
    }

    fn plain(&mut self, option: OptionName, value: Option<String>) -> Result<(), UsageError> {
        let text = value.as_deref().unwrap_or_default();
        match option {
            OptionName::Scheduler => self.scheduler = Some(cut(text)),
            OptionName::SchedulerFlags => self.scheduler_flags = Some(text.to_owned()),
            OptionName::Engine => self.engine = Some(cut(text)),
            OptionName::Persistent => {
                self.persistence = Some(match value {
                    Some(value) => timeout(&value, 1)?,
                    None => DEFAULT_PERSISTENCE,
                });
            }
            OptionName::Netmask => self.netmask = Some(self.read_netmask(text)?),
            OptionName::Server => {
                let protocol = match self.service {
                    Some(ServiceId::Address { protocol, .. }) => protocol,
                    _ => Protocol::Tcp,
                };
                let server = address(text, protocol, ServiceNames::system());
                self.server.address = Some(server.ok_or(UsageError::ServerAddress)?);
            }
            // The others are known by having been given.
            _ => {}
        }
        Ok(())
    }

    /// The family is the one known so far: the mask has to come after the service.
    fn read_netmask(&self, text: &str) -> Result<(Family, u8), UsageError> {
        match self.service.map(|service| service.family()) {
            Some(Family::Ipv6) => number(text, 1..=128)
                .and_then(|prefix| prefix.try_into().ok())
                .map(|prefix| (Family::Ipv6, prefix))
                .ok_or(UsageError::Ipv6Netmask),
            _ => prefix(text)
                .map(|prefix| (Family::Ipv4, prefix))
                .ok_or(UsageError::Netmask),
        }
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
        let scheduler = self.scheduler.clone().filter(|name| !name.is_empty());
        let scheduler = scheduler.unwrap_or_else(|| DEFAULT_SCHEDULER.to_owned());
        let flags = self.scheduler_flags.as_deref().unwrap_or_default();
        let scheduler_flags = scheduler_flags::from_text(flags, &scheduler)?;
        self.check_rules(name)?;

        // The rules asked for a service wherever one is needed.
        let service = || self.service.ok_or(UsageError::ServiceAddress);
        Ok(match name {
            CommandName::AddService => {
                let (service, settings) = self.settings(service()?, scheduler, scheduler_flags)?;
                Command::Edit(Edit::AddService { service, settings })
            }
            CommandName::EditService => {
                let (service, settings) = self.settings(service()?, scheduler, scheduler_flags)?;
                Command::Edit(Edit::EditService { service, settings })
            }
            CommandName::DeleteService => Command::Edit(Edit::DeleteService {
                service: service()?,
            }),
            CommandName::Flush => Command::Edit(Edit::Flush),
            CommandName::Zero => Command::Edit(Edit::Zero {
                service: self.service,
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
            CommandName::Restore => Command::Restore,
            CommandName::StartDaemon => Command::StartDaemon(self.sync.daemon()?),
            CommandName::StopDaemon => Command::StopDaemon(self.sync.role()?),
            CommandName::Verdicts => Command::Verdicts {
                all: self.has(OptionName::Exact),
            },
            CommandName::Status => Command::Status,
            CommandName::Help => Command::Help,
            CommandName::Version => Command::Version,
        })
    }

    fn check_rules(&self, name: CommandName) -> Result<(), UsageError> {
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

    fn settings(
        &self,
        service: ServiceId,
        scheduler: String,
        scheduler_flags: u8,
    ) -> Result<(ServiceId, ServiceSettings), UsageError> {
        let persistence = self.persistence.map(|timeout| {
            let family = service.family();
            let whole = if family == Family::Ipv4 { 32 } else { 128 };
            let prefix = self
                .netmask
                .filter(|(of, _)| *of == family)
                .map_or(whole, |(_, prefix)| prefix);
            Persistence { timeout, prefix }
        });
        let one_packet = self.has(OptionName::OnePacket);
        if let ServiceId::Address { protocol, address } = service {
            if address.port() == 0 && persistence.is_none() {
                return Err(UsageError::ZeroPort);
            }
            if one_packet && protocol != Protocol::Udp {
                return Err(UsageError::OnePacket);
            }
        }
        let engine = self.engine.clone();
        Ok((
            service,
            ServiceSettings {
                scheduler,
                scheduler_flags,
                persistence,
                one_packet,
                engine,
            },
        ))
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
                    only: self.service,
                    listing,
                })
            }
        }
    }

    /// `--set` takes the first three words, wherever they stand.
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

fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

fn timeout(text: &str, least: u32) -> Result<u32, UsageError> {
    number(text, least..=MAX_TIMEOUT).ok_or_else(|| UsageError::Timeout(text.to_owned()))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
