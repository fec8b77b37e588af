//! A session: executes commands by requests to the daemon, and prints the answers.

use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, IsTerminal as _, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lvs_api::client::{Client, ClientError};
use lvs_api::protocol::{Edit, Edits, RefusedEdit, Service};
use lvs_api::sync::SyncCommand;
use lvs_ipvsadm::command::{Command, Invocation};
use lvs_ipvsadm::error::UsageError;
use lvs_ipvsadm::names::Names;
use lvs_ipvsadm::netfilter;
use lvs_ipvsadm::proc_file::ProcFile;
use lvs_ipvsadm::{connections, listing, parse, proc, restore, save, sort, sync};

use super::failure::Failure;
use super::{help, marks, status, sysctls, verdicts};
use crate::socket;

/// Runs `lvsadm` with the words it was called with; the first one, its own name, decides whether it
/// is `ipvsadm-save` or `ipvsadm-restore`. lvsd has the time `limit` for each answer.
pub(crate) fn main(words: impl IntoIterator<Item = OsString>, limit: Duration) -> ExitCode {
    let mut words = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "lvsadm".to_owned());
    let words: Vec<_> = words.collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&program, words, limit)),
        Err(error) => Err(Failure::Input(error)),
    };
    ExitCode::from(match result {
        Ok(code) => code,
        Err(failure) => report(&failure),
    })
}

async fn run(program: &str, words: Vec<String>, limit: Duration) -> Result<u8, Failure> {
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
            Session::new(program, limit)
                .run(parse(program, words)?)
                .await
        }
        "ipvsadm-restore" => {
            let words = std::iter::once("-R".to_owned()).chain(words).collect();
            let mut session = Session::new(program, limit);
            session.socket = parse(program, words)?.socket;
            // All lines are read before the tables are flushed: an input that breaks off loses nothing.
            let lines: Result<Vec<_>, _> = io::stdin().lock().lines().collect();
            let lines = lines.map_err(Failure::Input)?;
            let lines = lines.into_iter().filter(|line| !line.starts_with('#'));
            let clear = std::iter::once("-C".to_owned());
            session.restore(clear.chain(lines).map(Ok), false).await
        }
        _ => {
            Session::new(program, limit)
                .run(parse(program, words)?)
                .await
        }
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

/// Number of a line of `-R`, and what becomes of it.
type Outcome = (usize, Result<(), Failure>);

/// Lines of `-R` that are not carried out yet.
struct Batch {
    edits: Edits,
    /// By line number: an edit, or what is wrong with the line.
    outcomes: Vec<Outcome>,
    /// Exit code so far.
    code: u8,
}

impl Batch {
    const fn new(atomic: bool) -> Self {
        let edits = Vec::new();
        Self {
            edits: Edits { edits, atomic },
            outcomes: Vec::new(),
            code: 0,
        }
    }

    fn add(&mut self, number: usize, line: Result<Edit, Failure>) {
        let outcome = line.map(|edit| self.edits.edits.push(edit));
        self.outcomes.push((number, outcome));
    }

    fn split_off(&mut self) -> (Edits, Vec<Outcome>) {
        let edits = std::mem::take(&mut self.edits.edits);
        let atomic = self.edits.atomic;
        (Edits { edits, atomic }, std::mem::take(&mut self.outcomes))
    }
}

/// The command of a line of `-R`.
fn parse_line(program: &str, words: Vec<String>) -> Result<Command, Failure> {
    let invocation = parse(program, words)?;
    if invocation.socket.is_some() {
        return Err(UsageError::UnknownOption("--socket".to_owned()).into());
    }
    if let Command::Restore { .. } = invocation.command {
        return Err(UsageError::NoCommand(program.to_owned()).into());
    }
    Ok(invocation.command)
}

/// One run of the program, with one connection to the daemon, which is made by the first request.
struct Session<'a> {
    program: &'a str,
    socket: Option<PathBuf>,
    client: Option<Client>,
    limit: Duration,
    out: BufWriter<Stdout>,
}

impl<'a> Session<'a> {
    fn new(program: &'a str, limit: Duration) -> Self {
        Self {
            program,
            socket: None,
            client: None,
            limit,
            out: BufWriter::new(io::stdout()),
        }
    }

    async fn run(mut self, invocation: Invocation) -> Result<u8, Failure> {
        self.socket = invocation.socket;
        let code = if let Command::Restore { atomic } = invocation.command {
            self.restore(io::stdin().lines(), atomic).await?
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
        let client = if let Some(client) = self.client.take() {
            client
        } else {
            let socket = socket::path(self.socket.clone());
            Client::connect_within(&socket, self.limit).await?
        };
        Ok(self.client.insert(client))
    }

    /// `-R`: every line is a command line of its own; the exit code is the last one's. Edits are sent together: at the
    /// end, or before another command. With `atomic` all of them are made, or none.
    async fn restore(
        &mut self,
        lines: impl Iterator<Item = io::Result<String>>,
        atomic: bool,
    ) -> Result<u8, Failure> {
        let interactive = io::stdin().is_terminal();
        let mut batch = Batch::new(atomic);
        for (number, line) in (1..).zip(lines) {
            let words = restore::words(&line.map_err(Failure::Input)?);
            if words.is_empty() {
                continue;
            }
            match parse_line(self.program, words) {
                Ok(Command::Edit(edit)) => batch.add(number, Ok(edit)),
                Ok(_) if atomic => batch.add(number, Err(Failure::NotAtomic)),
                Ok(command) => {
                    self.send(&mut batch).await?;
                    let last = matches!(command, Command::Help | Command::Version);
                    let outcome = self.execute(command).await;
                    self.out.flush()?;
                    match outcome {
                        Ok(()) if last => return Ok(0),
                        Ok(()) => batch.code = 0,
                        Err(failure) if failure.ends_restore() => return Err(failure),
                        Err(failure) => batch.code = report(&failure),
                    }
                }
                Err(failure) if failure.ends_restore() && !atomic => {
                    self.send(&mut batch).await?;
                    return Err(failure);
                }
                Err(failure) => batch.add(number, Err(failure)),
            }
            if interactive && !atomic {
                self.send(&mut batch).await?;
            }
        }
        self.send(&mut batch).await?;
        Ok(batch.code)
    }

    /// Sends the edits of a batch, and reports what failed, in the order of the lines.
    async fn send(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let (edits, mut outcomes) = batch.split_off();
        if edits.edits.is_empty() && outcomes.is_empty() {
            return Ok(());
        }
        let wrong = edits.atomic && outcomes.iter().any(|(_, outcome)| outcome.is_err());
        if !edits.edits.is_empty() && !wrong {
            let refused = self.client().await?.edit_many(&edits).await?;
            let mut places = outcomes.iter_mut().filter(|(_, outcome)| outcome.is_ok());
            let mut passed = 0;
            for RefusedEdit { place, refusal } in refused.edits {
                let outcome = places.nth(place - passed);
                passed = place + 1;
                if let Some((_, outcome)) = outcome {
                    *outcome = Err(Failure::Daemon(ClientError::Refused(refusal)));
                }
            }
        }
        let mut failed = false;
        for (number, outcome) in &outcomes {
            batch.code = match outcome {
                Ok(()) => 0,
                Err(failure) if edits.atomic => {
                    failed = true;
                    if let Some(message) = failure.message() {
                        report_line(&format!("line {number}: {message}"));
                    }
                    failure.exit_code()
                }
                Err(failure) => report(failure),
            };
        }
        if failed {
            report_line("nothing was changed");
            batch.code = 255;
        }
        Ok(())
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

    /// `--proc`.
    async fn proc(&mut self, file: ProcFile) -> Result<(), Failure> {
        match file {
            ProcFile::Services => {
                let services = self.client().await?.services().await?;
                proc::print_services(&mut self.out, &services)?;
            }
            ProcFile::Connections | ProcFile::ConnectionsSync => {
                let origin = file == ProcFile::ConnectionsSync;
                let mut answer = self.client().await?.connections().await?;
                proc::print_connections_title(&mut self.out, origin)?;
                while let Some(connection) = answer.next().await? {
                    proc::print_connection(&mut self.out, &connection, origin)?;
                }
            }
            ProcFile::Stats => {
                let total = self.client().await?.total_traffic().await?;
                proc::print_stats(&mut self.out, &total)?;
            }
            ProcFile::StatsPerCpu => {
                let total = self.client().await?.total_traffic().await?;
                proc::print_stats_per_cpu(&mut self.out, &total)?;
            }
        }
        Ok(())
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
                    connections::print(&mut self.out, &connection, engines, &mut names)?;
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
            Command::Sysctls { only } => {
                let values = self.client().await?.sysctls().await?;
                sysctls::print(&mut self.out, &values, only)?;
            }
            Command::Proc(file) => self.proc(file).await?,
            Command::Version => writeln!(self.out, "{}", help::version(self.program))?,
            Command::Help => help::print(&mut self.out, self.program)?,
            // Callers handle it.
            Command::Restore { .. } => {}
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
