//! `checktype = external` and `external-perl`: a command checks the server.
//!
//! It gets the four arguments that ldirectord and HAProxy have in common (virtual address or firewall
//! mark, virtual port, the real server's address and port), HAProxy's environment beside the
//! daemon's own, and no input. It runs as `checkuser`, without the daemon's privileges, in a process
//! group of its own, which is ended as a whole when the command has ended or its time is over.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use lvs_api::model::Protocol;
use lvs_process::commands;
use lvs_process::user::User;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;

use super::error::{is_own, reason};
use super::process_group::Group;
use super::{Found, Probe};
use crate::outcome::{Failure, excerpt};

/// Bytes of output that are kept: the last ones.
const OUTPUT: usize = 1 << 10;
/// Path of commands if the daemon itself has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that checks a server: exit code 0 is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct External {
    /// Its path.
    pub command: PathBuf,
    /// A Perl script, run by `perl`.
    pub perl: bool,
    /// First argument: the virtual address or the firewall mark.
    pub virtual_address: String,
    /// Second argument: the virtual port, 0 with a firewall mark.
    pub virtual_port: u16,
    /// Third argument: the real server's address; the check's target may have another port.
    pub server_address: IpAddr,
    /// Fourth argument: the real server's port.
    pub server_port: u16,
    /// Upper threshold of the real server's connections, for `HAPROXY_SERVER_MAXCONN`; 0: none.
    pub max_connections: u32,
    /// Protocol of the virtual service.
    pub protocol: Protocol,
    /// Name of the virtual service, for `HAPROXY_PROXY_NAME`.
    pub service_name: String,
    /// Name of the real server, for `HAPROXY_SERVER_NAME`.
    pub server_name: String,
    /// Exit codes of 2 and more are good as well: they stand for weights.
    pub weighs: bool,
}

/// Runs the command. Exit code 0 is good, and one that stands for a weight if the check weighs.
pub(crate) async fn probe(probe: &Probe<'_>, external: &External) -> Found {
    probe.awaits("exit code");
    let started = match spawn(external, probe.user, false).await {
        // As execvp runs it, which Perl and so ldirectord start commands with.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            spawn(external, probe.user, true).await
        }
        started => started,
    };
    let (mut group, mut output) = started.map_err(|source| failure(probe, external, source))?;
    let mut said = Vec::new();
    let status = loop {
        tokio::select! {
            status = group.wait() => break status,
            // At the end of the output, or if it cannot be read, there is still the exit to wait for.
            more = read(&mut output, &mut said), if output.is_some() => if !more { output = None },
        }
    };
    let status = status.map_err(|source| failure(probe, external, source))?;
    // The end of its output. Whoever else holds the pipe open is not waited for.
    if let Some(output) = output {
        // It ends with an error where somebody does.
        let _ = read_rest(output, &mut said);
    }
    outcome(probe, external, status, &last_line(&said))
}

fn outcome(probe: &Probe<'_>, external: &External, status: ExitStatus, said: &str) -> Found {
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

fn failure(probe: &Probe<'_>, external: &External, source: io::Error) -> Failure {
    if is_own(&source) {
        let awaited = "exit code";
        return Failure::Io { awaited, source };
    }
    let command = external.command.display();
    let user = probe.user.map(|user| format!(" as {user}"));
    let user = user.unwrap_or_default();
    Failure::Own(format!("cannot run {command}{user}: {}", reason(&source)))
}

/// Starts the command, by the shell if it is a script that names no interpreter.
async fn spawn(
    external: &External,
    user: Option<&User>,
    by_shell: bool,
) -> io::Result<(Group, Option<Receiver>)> {
    let (output, writer) = io::pipe()?;
    let mut command = if external.perl {
        let mut perl = Command::new("perl");
        perl.arg(&external.command);
        perl
    } else if by_shell {
        let mut shell = Command::new("/bin/sh");
        shell.arg(&external.command);
        shell
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
    // With the command goes our copy of the writing end.
    let child = commands::spawn(command, user).await?;
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

/// Reads what is there: from the pipe itself, since the runtime may not know yet that there is something.
fn read_rest(output: Receiver, said: &mut Vec<u8>) -> io::Result<()> {
    let mut output = File::from(output.into_nonblocking_fd()?);
    let mut portion = [0; OUTPUT];
    loop {
        match output.read(&mut portion)? {
            0 => return Ok(()),
            count => keep(said, &portion[..count]),
        }
    }
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

#[cfg(test)]
mod tests;
