//! `checktype = external` and `external-perl`: a command says whether a server is well.
//!
//! It gets the four arguments that ldirectord and HAProxy have in common (virtual address or firewall
//! mark, virtual port, the real server's address and port), HAProxy's environment beside the
//! daemon's own, and no input. It runs in a process group of its own, which is ended as a whole when
//! the time is over.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::sentence::{is_own, reason};
use super::{Failure, Found, Probe};
use crate::check::External;
use crate::outcome::excerpt;
use lvs_api::model::Protocol;

/// Time between the polite and the other signal.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of output that are kept: the last ones.
const OUTPUT: usize = 1 << 10;
/// Where commands are found if the daemon itself was not told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the command. Exit code 0 is good, and what stands for a weight if the check weighs.
pub(super) async fn probe(probe: &Probe<'_>, external: &External) -> Found {
    probe.awaits("exit code");
    let (mut group, mut output) = spawn(external).map_err(|source| failure(external, source))?;
    let mut said = Vec::new();
    let status = loop {
        tokio::select! {
            status = group.wait() => break status,
            // At the end of the output, or if it cannot be read, there is still the exit to wait for.
            more = read(&mut output, &mut said), if output.is_some() => if !more { output = None },
        }
    };
    let status = status.map_err(|source| failure(external, source))?;
    // What it said last. Whoever else holds the pipe open is not waited for.
    while let Some(Ok(1..)) = output.as_ref().map(|output| try_read(output, &mut said)) {}
    verdict(probe, external, status, &last_line(&said))
}

fn verdict(probe: &Probe<'_>, external: &External, status: ExitStatus, said: &str) -> Found {
    let Some(code) = status.code() else {
        let how = io::Error::other(status.to_string());
        return Err(Failure::Io {
            awaited: "exit code",
            source: how,
        });
    };
    let code = u8::try_from(code).unwrap_or(u8::MAX);
    probe.exit_code.set(code).ok();
    let found = format!("exit code {code}{said}");
    match code {
        0 => Ok(found),
        2.. if external.weighs => Ok(found),
        _ if external.weighs => Err(Failure::answer(found, "0 or a weight")),
        _ => Err(Failure::answer(found, "0")),
    }
}

fn failure(external: &External, source: io::Error) -> Failure {
    if is_own(&source) {
        let awaited = "exit code";
        return Failure::Io { awaited, source };
    }
    let command = external.command.display();
    Failure::Own(format!("cannot run {command}: {}", reason(&source)))
}

fn spawn(external: &External) -> io::Result<(Group, Option<Receiver>)> {
    let (output, writer) = io::pipe()?;
    let mut command = if external.perl {
        let mut perl = Command::new("perl");
        perl.arg(&external.command);
        perl
    } else {
        Command::new(&external.command)
    };
    command
        .arg(&external.virtual_address)
        .arg(external.virtual_port.to_string())
        .arg(external.server_address.to_string())
        .arg(external.server_port.to_string())
        .envs(environment(external))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    if std::env::var_os("PATH").is_none() {
        command.env("PATH", PATH);
    }
    let child = command.spawn()?;
    // With it goes our copy of the writing end.
    drop(command);
    let output = Receiver::from_owned_fd(OwnedFd::from(output))?;
    Ok((Group::new(child), Some(output)))
}

/// HAProxy's variables (its manual, `external-check command`). What has an identifier there is
/// identified by address and port. How many connections a server has is not known here.
fn environment(external: &External) -> [(&'static str, String); 11] {
    let protocol = match external.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let address = external.server_address.to_string();
    [
        ("HAPROXY_PROXY_ADDR", external.virtual_address.clone()),
        ("HAPROXY_PROXY_PORT", external.virtual_port.to_string()),
        (
            "HAPROXY_PROXY_ID",
            format!("{}:{}", external.virtual_address, external.virtual_port),
        ),
        ("HAPROXY_PROXY_NAME", external.service_name.clone()),
        ("HAPROXY_SERVER_ADDR", address.clone()),
        ("HAPROXY_SERVER_PORT", external.server_port.to_string()),
        (
            "HAPROXY_SERVER_ID",
            format!("{address}:{}", external.server_port),
        ),
        ("HAPROXY_SERVER_NAME", external.server_name.clone()),
        (
            "HAPROXY_SERVER_MAXCONN",
            external.max_connections.to_string(),
        ),
        ("HAPROXY_SERVER_PROTO", protocol.to_owned()),
        ("HAPROXY_SERVER_SSL", "0".to_owned()),
    ]
}

/// Reads more of the output; false at its end.
async fn read(output: &mut Option<Receiver>, said: &mut Vec<u8>) -> bool {
    let Some(output) = output else {
        return false;
    };
    let mut portion = [0; OUTPUT];
    match output.read(&mut portion).await {
        Ok(count) if count > 0 => {
            keep(said, &portion[..count]);
            true
        }
        _ => false,
    }
}

/// Reads what is there.
fn try_read(output: &Receiver, said: &mut Vec<u8>) -> io::Result<usize> {
    let mut portion = [0; OUTPUT];
    let count = output.try_read(&mut portion)?;
    keep(said, &portion[..count]);
    Ok(count)
}

/// Keeps the end of the output.
fn keep(said: &mut Vec<u8>, more: &[u8]) {
    said.extend_from_slice(more);
    let surplus = said.len().saturating_sub(OUTPUT);
    said.drain(..surplus);
}

/// ` ("the last line")`, or nothing.
fn last_line(said: &[u8]) -> String {
    said.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .rfind(|line| !line.is_empty())
        .map(|line| format!(" ({})", excerpt(line)))
        .unwrap_or_default()
}

/// A command and all that it starts, unless they leave its process group.
pub(super) struct Group {
    /// None once it is given to [`Ending`].
    child: Option<Child>,
}

impl Group {
    /// Takes a child that leads a process group.
    pub(super) fn new(child: Child) -> Self {
        Self { child: Some(child) }
    }

    /// Waits until the command itself has ended.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await,
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Group {
    /// Ends what has not ended by itself: asked at first, and made to after [`GRACE`].
    fn drop(&mut self) {
        let Some(child) = self.child.take().filter(|child| child.id().is_some()) else {
            return;
        };
        let mut ending = Ending(child);
        ending.signal(Signal::SIGTERM);
        // Without a runtime nothing waits, and the other signal follows at once.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(GRACE).await;
                ending.signal(Signal::SIGKILL);
                ending.0.wait().await.ok();
            });
        }
    }
}

/// A command whose time is over. It is not reaped before the last signal: its number stays its own,
/// and so does that of its group.
struct Ending(Child);

impl Ending {
    fn signal(&self, signal: Signal) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            killpg(Pid::from_raw(id), signal).ok();
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests;
