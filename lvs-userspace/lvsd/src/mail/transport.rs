//! Sends messages to mail servers, one after the other, by SMTP or the machine's sendmail.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use lettre::transport::smtp::client::{CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Email, Tokio1Executor};
use lvs_process::system_commands;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::host::host;
use super::message::{Message, MessageError};

/// Longest time that a mail server may take for one message.
const LIMIT: Duration = Duration::from_secs(30);

/// The port of mail servers (RFC 5321 section 4.5.4.2).
const PORT: u16 = 25;

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("`smtp = {0}' is no host and port")]
    Server(String),
    #[error(transparent)]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("cannot run sendmail: {0}")]
    Sendmail(#[from] io::Error),
    #[error("sendmail ended with {0}: {1}")]
    Refused(ExitStatus, String),
    #[error("the mail server took longer than {} s", LIMIT.as_secs())]
    Late,
}

/// Sends messages until there are no more.
pub(super) async fn run(mut messages: mpsc::Receiver<Message>) {
    let host = host();
    while let Some(message) = messages.recv().await {
        let sent = match tokio::time::timeout(LIMIT, send(&message, &host)).await {
            Ok(sent) => sent,
            Err(_) => Err(SendError::Late),
        };
        let to = message.alerts.to.join(", ");
        match sent {
            Ok(()) => debug!("mailed to {to}: {}", message.subject),
            Err(error) => {
                let error = anyhow::Error::from(error);
                warn!("cannot mail to {to}: {error:#} ({})", message.subject);
            }
        }
    }
}

async fn send(message: &Message, host: &str) -> Result<(), SendError> {
    let email = message.email(host)?;
    match &message.alerts.smtp {
        Some(server) => by_smtp(server, email).await,
        None => by_sendmail(email).await,
    }
}

async fn by_smtp(server: &str, email: Email) -> Result<(), SendError> {
    let (name, port) = host_and_port(server).ok_or_else(|| SendError::Server(server.to_owned()))?;
    // Encrypted where the server offers it, whatever its certificate: that is how mail servers talk to each
    // other (RFC 7435), and better than the plain text that ldirectord sends.
    let tls = TlsParameters::builder(name.to_owned())
        .certificate_store(CertificateStore::None)
        .dangerous_accept_invalid_certs(true)
        .dangerous_accept_invalid_hostnames(true)
        .build_rustls()?;
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(name)
        .port(port)
        .tls(Tls::Opportunistic(tls))
        .timeout(Some(LIMIT))
        .build()
        .send(email)
        .await?;
    Ok(())
}

async fn by_sendmail(email: Email) -> Result<(), SendError> {
    // Its conventional paths: a daemon's search path need not include them.
    let usual = ["/usr/sbin/sendmail", "/usr/lib/sendmail"];
    let found = usual.into_iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(found.unwrap_or("sendmail"));
    let envelope = email.envelope();
    // A line of a single dot does not end the message.
    command.arg("-i");
    if let Some(from) = envelope.from() {
        command.arg("-f").arg(AsRef::<str>::as_ref(from));
    }
    command.arg("--");
    command.args(envelope.to().iter().map(AsRef::<str>::as_ref));
    command.stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    let mut child = system_commands::spawn(command).await?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended already has written why.
        let _ = input.write_all(&email.formatted()).await;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(SendError::Refused(output.status, said));
    }
    Ok(())
}

/// `host`, `host:port`, an IPv6 address in brackets or without.
fn host_and_port(server: &str) -> Option<(&str, u16)> {
    if let Some(rest) = server.strip_prefix('[') {
        let (name, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, port.parse().ok()?)),
            None => Some((name, PORT)).filter(|_| rest.is_empty()),
        };
    }
    match server.split_once(':') {
        // A second colon: an address without a port.
        Some((_, rest)) if rest.contains(':') => Some((server, PORT)),
        Some((name, port)) => Some((name, port.parse().ok()?)),
        None => Some((server, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_may_be_given_with_its_port() {
        assert_eq!(host_and_port("mail"), Some(("mail", 25)));
        assert_eq!(host_and_port("mail:2525"), Some(("mail", 2525)));
        assert_eq!(host_and_port("::1"), Some(("::1", 25)));
        assert_eq!(host_and_port("[::1]"), Some(("::1", 25)));
        assert_eq!(host_and_port("[::1]:2525"), Some(("::1", 2525)));
        for wrong in ["mail:smtp", "[::1", "[::1]2525", "mail:99999"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }
}
