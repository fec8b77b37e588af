//! `lvsadm`'s verbs: operation of the director and its real servers.
//!
//! A command line whose first word is a word is a verb's; any other is ipvsadm's ([`crate::ipvsadm`]), whose commands
//! all begin with `-`.

mod arguments;
mod colour;
mod connections;
mod drain;
mod events;
mod failure;
mod filter;
mod healthy;
mod help;
mod overrides;
mod progress;
mod role;
#[cfg(test)]
mod sample;
mod status;
mod sync;
mod target;
mod time;
mod top;
mod trace;
mod why;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use lvs_api::client::{Client, ClientError};
use lvs_api::health::Health;
use lvs_api::protocol::{RefusalKind, Status};
use lvs_api::role::{Handover, RoleChange};

use self::arguments::{Arguments, Connections, Sync, Verb};
use self::failure::Failure;
use crate::socket;

pub(crate) use self::help::{command, verbs as verbs_help};
pub(crate) use self::status::traced;

/// True for the command line of a verb, or of a word that is none but no command of ipvsadm's either. Called as
/// `ipvsadm`, the program has none.
pub(crate) fn is_verb(words: &[OsString]) -> bool {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    let program = words.next().unwrap_or_default();
    let program = Path::new(program.as_ref()).file_name().unwrap_or_default();
    if program.to_string_lossy().starts_with("ipvsadm") {
        return false;
    }
    first_word(words).is_some_and(|word| !word.is_empty() && !word.starts_with('-'))
}

/// The first word after the program's name and the only option that may precede a verb.
fn first_word<'a>(mut words: impl Iterator<Item = Cow<'a, str>>) -> Option<Cow<'a, str>> {
    loop {
        let word = words.next()?;
        if word == "--socket" {
            words.next();
        } else if !word.starts_with("--socket=") {
            return Some(word);
        }
    }
}

/// True for a command line whose verb there is not.
fn is_unknown(words: &[OsString]) -> bool {
    let words = words.iter().skip(1).map(|word| word.to_string_lossy());
    let known = |name: &str| name == "help" || Arguments::command().find_subcommand(name).is_some();
    first_word(words).is_some_and(|word| !known(&word))
}

/// Executes the command line of a verb. lvsd has the time `limit` for each answer.
pub(crate) fn main(words: Vec<OsString>, limit: Duration) -> ExitCode {
    let unknown = is_unknown(&words);
    let arguments = match Arguments::try_parse_from(arguments::joined(words)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print();
            // As ipvsadm ends at a word that it does not know.
            if unknown {
                return ExitCode::from(255);
            }
            // If an error cannot be written there is no other place for it.
            return ExitCode::from(if error.use_stderr() {
                failure::USAGE
            } else {
                printed.map_or_else(|error| report(&error.into()), |()| 0)
            });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, limit)),
        Err(error) => Err(Failure::Output(error)),
    };
    ExitCode::from(outcome.unwrap_or_else(|failure| report(&failure)))
}

/// Prints the message of a failure; its exit code.
fn report(failure: &Failure) -> u8 {
    if let Some(message) = failure.message() {
        drop(writeln!(io::stderr(), "{message}"));
    }
    failure.exit_code()
}

/// Executes a verb; the exit code.
async fn run(arguments: Arguments, limit: Duration) -> Result<u8, Failure> {
    let socket = socket::path(arguments.socket);
    let mut client = Client::connect_within(&socket, limit).await?;
    let mut out = io::stdout();
    match arguments.verb {
        Verb::Server(arguments) => overrides::server(&mut client, &arguments).await?,
        Verb::Weight(arguments) => overrides::weight(&mut client, &arguments).await?,
        Verb::Drain(arguments) => {
            let terminal = out.is_terminal();
            return drain::run(&mut client, &arguments, &mut out, terminal).await;
        }
        Verb::Filter(arguments) => filter::run(&mut client, arguments, &mut out).await?,
        Verb::Status { json } => {
            let Status {
                tables, tracing, ..
            } = client.status().await?;
            let overview = status::Overview {
                role: client.role().await?,
                health: checked(client.health().await)?,
                tables,
                tracing,
                filters: filter::filters(client.services().await?),
                peers: client.peers().await?.peers,
            };
            if json {
                serde_json::to_writer_pretty(&mut out, &overview).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
                status::print(&mut out, &overview, colour)?;
            }
        }
        Verb::Connections(Connections::Drop(arguments)) => {
            connections::drop_matching(&mut client, arguments, &mut out).await?;
        }
        Verb::Sync(Sync::Status { json }) => sync::status(&mut client, &mut out, json).await?,
        Verb::Sync(Sync::Wait { timeout, takeover }) => {
            let awaited = if takeover {
                sync::Awaited::Takeover
            } else {
                sync::Awaited::InStep
            };
            let terminal = out.is_terminal();
            return sync::wait(&mut client, &mut out, awaited, timeout, terminal).await;
        }
        Verb::Top(arguments) => {
            let connector = lvs_top::Connector { socket, limit };
            return top::run(client, connector, arguments, &mut out).await;
        }
        Verb::Trace(arguments) => {
            let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            trace::run(&mut client, arguments, &mut out, colour).await?;
        }
        Verb::Why(arguments) => {
            let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            why::run(&mut client, arguments, &mut out, colour).await?;
        }
        Verb::Events => events::follow(&mut client, &mut out).await?,
        Verb::Handover { timeout, force } => {
            let timeout = timeout.as_millis().try_into().unwrap_or(u64::MAX);
            client.hand_over(Handover { timeout, force }).await?;
        }
        Verb::Healthy(arguments) => {
            return healthy::run(&mut client, arguments.services(), &mut out).await;
        }
        Verb::Role {
            take: Some(role),
            force,
        } => client.set_role(RoleChange { role, force }).await?,
        Verb::Role { take: None, .. } => role::print(&client.role().await?, &mut out)?,
    }
    Ok(0)
}

/// What health checks say; a daemon without any has nothing to say.
fn checked(health: Result<Health, ClientError>) -> Result<Health, ClientError> {
    match health {
        Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::NotSupported => {
            Ok(Health::default())
        }
        health => health,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(line: &str) -> bool {
        is_verb(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_first_word_that_is_a_verb_is_not_ipvsadms() {
        assert!(verb("lvsadm status"));
        assert!(verb("/sbin/lvsadm --socket /s drain 10.0.0.1"));
        assert!(verb("lvsadm --socket=/s events"));
        assert!(!verb("lvsadm -Ln"));
        assert!(!verb("lvsadm --socket status -Ln"));
        assert!(!verb("lvsadm -A -s status"));
        // clap knows the verb that was meant.
        assert!(verb("lvsadm handovr"));
        assert!(!verb("ipvsadm status"));
        assert!(!verb("lvsadm"));
    }
}
