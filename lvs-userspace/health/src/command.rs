//! Commands of the configuration that act on the system: they run as root, beside everything else, limited in time.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use lvs_process::system_commands;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, warn};

/// Longest time of a command; then it and its children are killed.
const LIMIT: Duration = Duration::from_secs(30);

/// Most commands in one queue.
const WAITING: usize = 1000;

/// A command line for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The line, run by `/bin/sh -c`.
    pub line: String,
    /// Standard input of the command.
    pub input: String,
}

/// Runs commands: those of one subject one after the other, those of different subjects at once.
#[derive(Debug, Default)]
pub struct Commands {
    queues: HashMap<String, (mpsc::Sender<CommandLine>, JoinHandle<()>)>,
}

impl Commands {
    /// Runs a command once those before it of the same subject have ended.
    pub fn run(&mut self, subject: &str, command: CommandLine) {
        let queue = self.queues.entry(subject.to_owned()).or_insert_with(|| {
            let (sender, mut commands) = mpsc::channel::<CommandLine>(WAITING);
            let work = async move {
                while let Some(command) = commands.recv().await {
                    run(&command, LIMIT).await;
                }
            };
            (sender, tokio::spawn(work))
        });
        if let Err(error) = queue.0.try_send(command) {
            let command = error.into_inner().line;
            error!("{command} is not run: {WAITING} commands wait already for those before them");
        }
    }

    /// Waits for all commands, at most for `limit`.
    pub async fn finish(self, limit: Duration) {
        let all = async {
            for (sender, work) in self.queues.into_values() {
                drop(sender);
                let _ = work.await;
            }
        };
        if tokio::time::timeout(limit, all).await.is_err() {
            warn!("some commands still run at the end");
        }
    }
}

/// Runs a command until it ends or its time is over.
async fn run(command: &CommandLine, limit: Duration) {
    let CommandLine { line, input } = command;
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", line])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let mut child = match system_commands::spawn(shell).await {
        Ok(child) => child,
        Err(error) => return error!("cannot run {line}: {error}"),
    };
    let stdin = child.stdin.take();
    let end = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, end).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => warn!("{line} ended with {status}"),
        Ok(Err(error)) => error!("{line} was lost: {error}"),
        Err(_) => {
            error!(
                "{line} is killed, it takes longer than {} s",
                limit.as_secs_f32()
            );
            let group = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(group) = group {
                // The whole group: children too. It may have ended this moment.
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = child.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn command(line: impl Into<String>) -> CommandLine {
        CommandLine {
            line: line.into(),
            input: "input\n".to_owned(),
        }
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[tokio::test]
    async fn commands_of_one_subject_run_in_order_and_read_their_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        let mut commands = Commands::default();
        for word in ["sleep 0.1; echo start", "echo stop", "cat"] {
            let line = format!("({word}) >> {}", file.display());
            commands.run("subject", command(line));
        }
        commands.finish(Duration::from_secs(20)).await;
        assert_eq!(read(&file), "start\nstop\ninput\n");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let line = format!("sleep 1000 & echo $! > {}; wait", file.display());
        run(&command(line), Duration::from_millis(300)).await;
        let child: i32 = read(&file).trim().parse().unwrap();
        // An orphan that was killed is gone, or waits for its new parent.
        for _ in 0..1000 {
            let state = read(Path::new(&format!("/proc/{child}/stat")));
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the child of a killed command goes on");
    }
}
