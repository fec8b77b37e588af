//! A session: executes commands by requests to the daemon, and prints the answers.

use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lvs_api::client::Client;
use lvs_api::protocol::{Edit, Service};
use lvs_api::sync::SyncCommand;
use lvs_ipvsadm::command::{Command, Invocation};
use lvs_ipvsadm::error::UsageError;
use lvs_ipvsadm::names::Names;
use lvs_ipvsadm::netfilter;
use lvs_ipvsadm::{connections, listing, parse, restore, save, sort, sync};

use super::failure::Failure;
use super::{help, marks, status, verdicts};
use crate::socket;

/// Runs `lvsadm` with the words it was called with; the first one, its own name, decides whether it
/// is `ipvsadm-save` or `ipvsadm-restore`.
pub(crate) fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "lvsadm".to_owned());
    let words: Vec<_> = words.collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&program, words)),
        Err(error) => Err(Failure::Input(error)),
    };
    ExitCode::from(match result {
        Ok(code) => code,
        Err(failure) => report(&failure),
    })
}

async fn run(program: &str, words: Vec<String>) -> Result<u8, Failure> {
    let name = Path::new(program)
        .file_name()
        .map_or(program.into(), |name| name.to_string_lossy());
    match name.as_ref() {
        "ipvsadm-save" => {
            let Some(socket_and_numeric) = save_words(words) else {
                report_line(help::SAVE);
                return Ok(1);
            };
            let words = std::iter::once("-S".to_owned())
                .chain(socket_and_numeric)
                .collect();
            Session::new(program).run(parse(program, words)?).await
        }
        "ipvsadm-restore" => {
            let words = std::iter::once("-R".to_owned()).chain(words).collect();
            let mut session = Session::new(program);
            session.socket = parse(program, words)?.socket;
            // All lines are read before the tables are flushed: an input that breaks off loses nothing.
            let lines: Result<Vec<_>, _> = io::stdin().lock().lines().collect();
            let lines = lines.map_err(Failure::Input)?;
            session.client().await?.edit(&Edit::Flush).await?;
            session
                .restore(
                    lines
                        .into_iter()
                        .filter(|line| !line.starts_with('#'))
                        .map(Ok),
                )
                .await
        }
        _ => Session::new(program).run(parse(program, words)?).await,
    }
}

/// Options of `ipvsadm-save`: `-n`, and here `--socket`. Other options are wrong; other words are ignored.
fn save_words(words: Vec<String>) -> Option<Vec<String>> {
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-n" => kept.push(word),
            "--socket" => kept.extend([word, words.next()?]),
            _ if word.starts_with("--socket=") => kept.push(word),
            _ if word.starts_with('-') => return None,
            _ => {}
        }
    }
    Some(kept)
}

/// Prints the message of a failure; its exit code.
fn report(failure: &Failure) -> u8 {
    if let Some(message) = failure.message() {
        report_line(&message);
    }
    failure.exit_code()
}

fn report_line(message: &str) {
    // If this cannot be written there is no other place for it.
    drop(writeln!(io::stderr(), "{message}"));
}

/// One run of the program, with one connection to the daemon, which is made by the first request.
struct Session<'a> {
    program: &'a str,
    socket: Option<PathBuf>,
    client: Option<Client>,
    out: BufWriter<Stdout>,
}

impl<'a> Session<'a> {
    fn new(program: &'a str) -> Self {
        Self {
            program,
            socket: None,
            client: None,
            out: BufWriter::new(io::stdout()),
        }
    }

    async fn run(mut self, invocation: Invocation) -> Result<u8, Failure> {
        self.socket = invocation.socket;
        let code = if invocation.command == Command::Restore {
            self.restore(io::stdin().lines()).await?
        } else {
            let outcome = self.execute(invocation.command).await;
            self.out.flush()?;
            outcome?;
            0
        };
        self.out.flush()?;
        Ok(code)
    }

    async fn client(&mut self) -> Result<&mut Client, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&socket::path(self.socket.clone())).await?,
        };
        Ok(self.client.insert(client))
    }

    /// `-R`: every line is a command line of its own; the exit code is the last one's.
    async fn restore(
        &mut self,
        lines: impl Iterator<Item = io::Result<String>>,
    ) -> Result<u8, Failure> {
        let mut code = 0;
        for line in lines {
            let words = restore::words(&line.map_err(Failure::Input)?);
            if words.is_empty() {
                continue;
            }
            code = match self.restore_line(words).await {
                Ok(true) => 0,
                Ok(false) => return Ok(0),
                Err(failure) if failure.ends_restore() => return Err(failure),
                Err(failure) => report(&failure),
            };
        }
        Ok(code)
    }

    /// Executes a line of `-R`. False ends the run: after help.
    async fn restore_line(&mut self, words: Vec<String>) -> Result<bool, Failure> {
        let invocation = parse(self.program, words)?;
        if invocation.socket.is_some() {
            return Err(UsageError::UnknownOption("--socket".to_owned()).into());
        }
        if invocation.command == Command::Restore {
            return Err(UsageError::NoCommand(self.program.to_owned()).into());
        }
        let more = !matches!(invocation.command, Command::Help | Command::Version);
        self.execute(invocation.command).await?;
        self.out.flush()?;
        Ok(more)
    }

    /// `--import-marks`: reads the output of `iptables-save`, sets its rules, and prints them. Fails if one was
    /// left out.
    async fn import_marks(&mut self) -> Result<(), Failure> {
        let text = io::read_to_string(io::stdin()).map_err(Failure::Input)?;
        let found = netfilter::read(&text);
        report_unsupported(&found.others);
        for rule in &found.rules {
            self.client().await?.edit(&Edit::Mark(rule.clone())).await?;
        }
        marks::print(&mut self.out, &found.rules)?;
        match found.others.len() {
            0 => Ok(()),
            left_out => Err(Failure::NotImported(left_out)),
        }
    }

    async fn execute(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Edit(edit) => self.client().await?.edit(&edit).await?,
            Command::Services {
                only: None,
                listing: how,
            } => {
                let mut services = self.client().await?.services().await?;
                services.services = sorted(services.services, how.sort);
                listing::print_all(&mut self.out, &services, how)?;
            }
            Command::Services {
                only: Some(id),
                listing: how,
            } => {
                let mut services = self.client().await?.services().await?.services;
                services.retain(|service| service.id == id);
                if services.is_empty() {
                    return Err(Failure::NothingToList);
                }
                listing::print(&mut self.out, &sorted(services, how.sort), how)?;
            }
            Command::Connections { numeric, engines } => {
                let mut answer = self.client().await?.connections().await?;
                connections::print_title(&mut self.out, engines)?;
                let mut names = Names::new(numeric);
                while let Some(connection) = answer.next().await? {
                    connections::print(&mut self.out, &connection, &mut names)?;
                }
            }
            Command::Timeouts => {
                let timeouts = self.client().await?.timeouts().await?;
                let (tcp, fin, udp) = (timeouts.tcp, timeouts.tcp_fin, timeouts.udp);
                writeln!(self.out, "Timeout (tcp tcpfin udp): {tcp} {fin} {udp}")?;
            }
            Command::Save { numeric } => {
                let services = self.client().await?.services().await?.services;
                let filters = services.iter().filter(|one| one.filter.is_some()).count();
                save::print(&mut self.out, &sort::services(services), numeric)?;
                if filters > 0 {
                    report_line(&format!(
                        "the filters of {filters} virtual services are not among these commands, as ipvsadm has \
                         none: `lvsadm filter show --json` prints them"
                    ));
                }
            }
            Command::StartDaemon(daemon) => {
                let command = SyncCommand::Start(daemon);
                self.client().await?.command_sync(&command).await?;
            }
            Command::StopDaemon(role) => {
                let command = SyncCommand::Stop(role);
                self.client().await?.command_sync(&command).await?;
            }
            Command::SyncDaemons => {
                let status = self.client().await?.sync().await?;
                sync::print(&mut self.out, &status.daemons)?;
            }
            Command::Verdicts { all } => {
                let counts = self.client().await?.verdicts().await?;
                verdicts::print(&mut self.out, &counts, all)?;
            }
            Command::Status => {
                let status = self.client().await?.status().await?;
                status::print(&mut self.out, &status)?;
            }
            Command::ListMarks => {
                let rules = self.client().await?.marks().await?;
                marks::print(&mut self.out, &rules)?;
            }
            Command::ImportMarks => self.import_marks().await?,
            Command::Version => writeln!(self.out, "{}", help::version(self.program))?,
            Command::Help => help::print(&mut self.out, self.program)?,
            // Callers handle it.
            Command::Restore => {}
        }
        Ok(())
    }
}

/// Prints netfilter's rules that the director cannot follow.
fn report_unsupported(others: &[(usize, String)]) {
    for (line, why) in others {
        report_line(&format!("line {line}: {}: {why}", netfilter::LIMIT));
    }
}

fn sorted(services: Vec<Service>, sort: bool) -> Vec<Service> {
    if sort {
        sort::services(services)
    } else {
        services
    }
}
