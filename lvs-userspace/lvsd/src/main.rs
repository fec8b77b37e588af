//! The director daemon.

mod agreement;
mod arguments;
mod config_file;
mod control;
mod daemon;
mod discovery;
mod generate;
mod lifecycle;
mod logging;
mod mail;

use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lvs_api::client::{Client, ClientError};
use lvs_config::{ldirectord, lint};
use lvs_dataplane::kernel::{self, Options};
use lvs_failover::role::AddressGroup;
use lvs_failover::virtual_address::Announcing;
use lvs_process::user::User;
use lvs_replication::ipvs::{RefreshOptions, SyncOptions};

use self::arguments::{Arguments, ProgramLogLevel};
use crate::config_file::File;
use crate::daemon::{PeerSettings, Settings};
use crate::lifecycle::{Command, Detached, Instance, Next, NotReloaded, PidFile};
use crate::logging::Log;
use crate::logging::journal::Journal;
use crate::logging::queue::{self, Stderr};
use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Target of the lines of the programs in the kernel.
const PROGRAM_LOG: &str = "lvs_program";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print();
            // If an error cannot be written there is no other place for it.
            return ExitCode::from(if error.use_stderr() {
                lifecycle::USAGE
            } else {
                printed.map_or_else(|error| output_failed(&error), |()| 0)
            });
        }
    };
    if let Some(document) = arguments.generate {
        let document = generate::document(document);
        let written = io::stdout().write_all(document.as_bytes());
        return ExitCode::from(written.map_or_else(|error| output_failed(&error), |()| 0));
    }
    if !arguments.sync_threshold_fits() {
        return ExitCode::from(usage("--sync-threshold has to be less than --sync-period"));
    }
    if let [word, files @ ..] = arguments.words.as_slice()
        && word == "check"
    {
        return ExitCode::from(lint_file(files, &arguments));
    }
    let code = match Command::parse(&arguments.words) {
        Ok(None) if is_ldirectord() => usage("a command is missing"),
        Ok(None) => foreground(&arguments, None),
        Ok(Some(command)) => execute(&arguments, &command),
        Err(error) => usage(&error.to_string()),
    };
    ExitCode::from(code)
}

/// True if the program is called `ldirectord`, which does nothing without a command.
fn is_ldirectord() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name)
        .file_name()
        .is_some_and(|name| name == "ldirectord")
}

/// Prints an error before there is a log. If it cannot be written there is no other place for it.
fn report(error: impl Display) {
    drop(writeln!(io::stderr(), "{error}"));
}

fn usage(problem: &str) -> u8 {
    report(format_args!(
        "{problem} (lvsd --help lists commands and options)"
    ));
    lifecycle::USAGE
}

/// `check`: prints what is wrong with a file; the exit code.
fn lint_file(files: &[String], arguments: &Arguments) -> u8 {
    let [file] = files else {
        return usage("check needs one file");
    };
    let instance = Instance::new(Some(file));
    let Some(path) = instance.find() else {
        report(format_args!(
            "Config file {} not found",
            instance.argument()
        ));
        return lint::UNREADABLE;
    };
    let (mut out, mut problems) = (
        BufWriter::new(io::stdout().lock()),
        BufWriter::new(io::stderr().lock()),
    );
    let check_user = arguments.check_user.as_deref();
    if let Some(Err(error)) = check_user.map(User::find) {
        return usage(&format!("--check-user: {error}"));
    }
    let options = lint::Options {
        strict: arguments.strict,
        check_user,
    };
    let code = lint_all(&path, options, &mut out, &mut problems);
    let code = code.and_then(|code| out.flush().and(problems.flush()).map(|()| code));
    code.unwrap_or_else(|error| output_failed(&error))
}

/// Validates a file and those that it names by `execute`: whatever a start would read; the worst exit code.
fn lint_all(
    path: &Path,
    options: lint::Options<'_>,
    out: &mut impl Write,
    problems: &mut impl Write,
) -> io::Result<u8> {
    let mut worst = 0;
    let mut known = HashSet::from([path.to_owned()]);
    let mut waiting = vec![path.to_owned()];
    while let Some(file) = waiting.pop() {
        let code = lint::run(&file, options, &discovery::look_up_now, out, problems)?;
        worst = worst.max(code);
        // What cannot be read, or is none of ldirectord's files, names none.
        let named = match lvs_config::kind_of(&file) {
            Ok(lvs_config::Kind::Ldirectord) => ldirectord::executed(&file)?,
            _ => Vec::new(),
        };
        for (line, name) in named {
            if let Some(further) = Instance::new(Some(&name)).find() {
                if known.insert(further.clone()) {
                    waiting.push(further);
                }
                continue;
            }
            let file = file.display();
            writeln!(
                problems,
                "Error reading file {file} at line {line}: execute: Config file {name} not found"
            )?;
            worst = lint::WRONG;
        }
    }
    // Each may be right, and all together not.
    if worst == 0
        && known.len() > 1
        && let Err(error) = config_file::read(path, options.check_user)
    {
        writeln!(problems, "{error}")?;
        return Ok(lint::WRONG);
    }
    Ok(worst)
}

/// Reports that the standard output cannot be written; the exit code.
fn output_failed(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return lifecycle::BROKEN_PIPE;
    }
    drop(writeln!(
        io::stderr(),
        "cannot write to standard output: {error}"
    ));
    lifecycle::FAILED
}

/// Executes a command; the exit code.
fn execute(arguments: &Arguments, command: &Command) -> u8 {
    let instance = Instance::new(command.file.as_deref());
    if arguments.detached {
        return background(arguments, &instance).unwrap_or_else(|error| {
            report(format_args!("{error:#}"));
            lifecycle::FAILED
        });
    }
    let (path, file) = match lifecycle::run(command.verb, &instance, &Daemon { arguments }) {
        Ok(Next::Exit(code)) => return code,
        Ok(Next::Start(path, file)) => (path, file),
        Err(error) => {
            report(format_args!("{error}"));
            return lifecycle::FAILED;
        }
    };
    // Two daemons cannot have one data path. Two processes, as ldirectord has them, would have to share
    // it, and take it over from each other when one of them ends.
    if let Some(pid) = running(arguments) {
        report(format_args!(
            "another lvsd runs here already (pid {pid}). One daemon serves all files: name this one in the \
             other's file with `execute = {}', or give it interfaces, --bpffs and --socket of its own",
            path.display()
        ));
        return lifecycle::FAILED;
    }
    if arguments.debug {
        return foreground(arguments, Some(path));
    }
    if arguments.foreground {
        return with_pid_file(&instance, || supervised(arguments, path)).unwrap_or_else(|error| {
            report(format_args!("{error:#}"));
            lifecycle::FAILED
        });
    }
    if matches!(file, File::Services(services) if services.globals.supervised) {
        return supervised(arguments, path);
    }
    lifecycle::launch().unwrap_or_else(|error| {
        report(format_args!("cannot start a process: {error}"));
        lifecycle::FAILED
    })
}

/// Runs with the log on the error output, or in the journal where that leads; the exit code.
fn foreground(arguments: &Arguments, config: Option<PathBuf>) -> u8 {
    if let Some(journal) = Journal::of(io::stderr()) {
        tracing_subscriber::registry()
            .with(filter(arguments))
            .with(journal)
            .init();
    } else {
        tracing_subscriber::fmt()
            .with_env_filter(filter(arguments))
            .with_writer(|| Stderr)
            // Where the log cannot be written, that cannot be written either.
            .log_internal_errors(false)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .fmt_fields(one_line())
            .init();
    }
    if arguments.verify {
        return match verify(&options(arguments)) {
            Err(error) if error.is::<io::Error>() => {
                let output = error.downcast().unwrap_or_else(io::Error::other);
                output_failed(&output)
            }
            outcome => exit_code(outcome),
        };
    }
    exit_code(daemon::run(&settings(arguments, config, None), || ()))
}

/// Fields of an event in one line, whatever they hold. The message is the first of them.
fn one_line() -> impl for<'writer> FormatFields<'writer> + 'static {
    let field = |writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        let value = logging::escaped(&format!("{value:?}"));
        match field.name() {
            "message" => write!(writer, "{value}"),
            name if logging::is_for_the_journal(name) => Ok(()),
            name => write!(writer, " {name}={value}"),
        }
    };
    debug_fn(field)
}

/// Runs in the foreground with the log on the standard output or in the journal, for a supervisor; the exit code.
fn supervised(arguments: &Arguments, config: PathBuf) -> u8 {
    let registry = tracing_subscriber::registry().with(filter(arguments));
    if let Some(journal) = Journal::of(io::stdout()) {
        registry.with(journal).init();
    } else {
        let log = Log::supervised();
        log.started();
        registry.with(log).init();
    }
    exit_code(daemon::run(&settings(arguments, Some(config), None), || ()))
}

/// The exit code of a daemon, whose error goes to the log.
fn exit_code(outcome: Result<()>) -> u8 {
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => {
            logging::error_lines(&format!("{error:#}"));
            lifecycle::FAILED
        }
    };
    queue::finish();
    code
}

/// Runs as the daemon of a file; the exit code.
fn background(arguments: &Arguments, instance: &Instance) -> Result<u8> {
    let path = instance
        .find()
        .with_context(|| format!("Config file {} not found", instance.argument()))?;
    let detached = Detached::leave_session().context("cannot leave the session")?;
    with_pid_file(instance, || {
        in_background(arguments, instance, path, detached)
    })
}

/// Does some work while the pid file of an instance is held.
fn with_pid_file<R>(instance: &Instance, work: impl FnOnce() -> R) -> Result<R> {
    let pid_file = instance.pid_file();
    let claimed = PidFile::claim(&pid_file)
        .with_context(|| format!("cannot write {}", pid_file.display()))?;
    let Some(_claimed) = claimed else {
        bail!("another process has just started {}", instance.name);
    };
    Ok(work())
}

fn in_background(
    arguments: &Arguments,
    instance: &Instance,
    path: PathBuf,
    detached: Detached,
) -> u8 {
    let log = Log::new(&instance.name);
    tracing_subscriber::registry()
        .with(filter(arguments))
        .with(log.clone())
        .init();
    let ready = || {
        log.started();
        // Before the terminal is gone: warnings are for it, too.
        queue::finish();
        if let Err(error) = detached.ready() {
            tracing::warn!("cannot give up the terminal: {error}");
        }
    };
    let outcome = daemon::run(&settings(arguments, Some(path), Some(log.clone())), ready);
    let code = exit_code(outcome);
    // A file that could not be read names no log.
    log.flush();
    queue::finish();
    code
}

fn filter(arguments: &Arguments) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(arguments)))
}

/// Log filter of the command line, for the case that `RUST_LOG` is not set.
fn directives(arguments: &Arguments) -> String {
    let level = if arguments.debug {
        "debug"
    } else {
        &arguments.log_level
    };
    match arguments.program_log {
        // Without a level above `level`, libraries make no records to be refused here.
        ProgramLogLevel::Off => level.to_owned(),
        // What the programs log was chosen as they were loaded.
        _ => format!("{level},{PROGRAM_LOG}=trace"),
    }
}

fn options(arguments: &Arguments) -> Options {
    Options {
        services: arguments.services,
        servers: arguments.servers,
        entries4: arguments.table4,
        entries6: arguments.table6,
        slots: arguments.slots,
        fragments: arguments.fragments,
        filter_nodes: arguments.filter_nodes,
        rss_source: arguments.rss_source,
        icmp_rate: arguments.icmp_rate,
        sync_threshold: arguments.sync_threshold,
        sync_period: arguments.sync_period,
        local_clients: arguments.local_clients.is_some(),
        program_log: arguments.program_log as u8,
    }
}

fn settings(arguments: &Arguments, config: Option<PathBuf>, log: Option<Log>) -> Settings {
    Settings {
        config: config.or_else(|| arguments.config.clone()),
        interfaces: arguments.interface.clone(),
        modes: arguments.mode.iter().cloned().collect(),
        local_clients: arguments.local_clients.clone(),
        bpffs: arguments.bpffs.clone(),
        socket: arguments.socket.clone(),
        state: arguments.state_folder(),
        options: options(arguments),
        sync: SyncOptions {
            refresh: RefreshOptions {
                period: arguments.sync_refresh,
                retries: arguments.sync_retries,
            },
            ports: arguments.sync_ports,
            templates_only: arguments.sync_persist_mode == 1,
            buffer: arguments.sync_sock_size,
            ..SyncOptions::default()
        },
        sysctls: arguments.sysctl.clone(),
        check_user: arguments.check_user.clone(),
        role: arguments.role,
        group: AddressGroup {
            addresses: arguments.virtual_address.clone(),
            announcing: Announcing {
                count: arguments.announce_count,
                interval: arguments.announce_interval,
                repeat: arguments.announce_repeat,
            },
        },
        peers: arguments.peer_key.clone().map(|key| PeerSettings {
            peers: arguments.peer.clone(),
            listen: arguments.peer_listen,
            key,
        }),
        http: arguments.http.map(|address| lvs_http::Options {
            address,
            users: arguments.http_users.clone(),
            tls: arguments
                .http_certificate
                .clone()
                .zip(arguments.http_key.clone()),
        }),
        reset: arguments.reset,
        keep_addresses: arguments.keep_addresses,
        detach_on_exit: arguments.detach_on_exit,
        log,
    }
}

/// The daemon for the verbs: reads its files, and reaches it by its socket.
struct Daemon<'a> {
    arguments: &'a Arguments,
}

impl lifecycle::Daemon for Daemon<'_> {
    type File = File;

    fn read(&self, path: &Path) -> Result<File, String> {
        config_file::read(path, self.arguments.check_user.as_deref())
            .map_err(|error| error.to_string())
    }

    fn reload(&self, pid: u32) -> Option<Result<(), NotReloaded>> {
        let reloaded = block_on(async {
            let mut client = Client::connect(&self.arguments.socket).await?;
            // The daemon of another file may listen there.
            if client.status().await?.pid != pid {
                return Ok(None);
            }
            client.reload().await.map(Some)
        })?;
        match reloaded {
            Ok(reloaded) => reloaded.map(Ok),
            Err(ClientError::NotRunning { .. } | ClientError::Connect { .. }) => None,
            Err(ClientError::Refused(refusal)) => Some(Err(NotReloaded::Wrong(refusal.message))),
            Err(error) => Some(Err(NotReloaded::Silent(error.to_string()))),
        }
    }

    fn step_down(&self, pid: u32) -> Option<String> {
        if running(self.arguments)? != pid {
            return None;
        }
        let socket = &self.arguments.socket;
        let done = block_on(async { Client::connect(socket).await?.step_down().await })?;
        // It is told to end in any case, and does the same then.
        done.ok()?.done
    }
}

/// The process id of the daemon that listens at the socket.
fn running(arguments: &Arguments) -> Option<u32> {
    let status = async {
        let mut client = Client::connect(&arguments.socket).await.ok()?;
        Some(client.status().await.ok()?.pid)
    };
    block_on(status)?
}

fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.ok().map(|runtime| runtime.block_on(work))
}

fn verify(options: &Options) -> Result<()> {
    let mut out = io::stdout().lock();
    for verified in kernel::verify(options)? {
        let number = |number: Option<u32>| {
            number.map_or_else(|| "?".to_owned(), |number| number.to_string())
        };
        writeln!(
            out,
            "{}: {} instructions verified, {} bytes of code",
            verified.program,
            number(verified.instructions),
            number(verified.bytes)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn libraries_make_no_records_that_nobody_reads() {
        let level = |words: &[&str]| {
            let arguments = Arguments::parse_from(words);
            EnvFilter::new(directives(&arguments)).max_level_hint()
        };
        assert_eq!(level(&["lvsd"]), Some(LevelFilter::INFO));
        let program_log = ["lvsd", "--program-log", "warn"];
        assert_eq!(level(&program_log), Some(LevelFilter::TRACE));
    }
}
