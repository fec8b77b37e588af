//! `service = ftp`: a greeting; if there is a name to log in with, a login; if there is a file to fetch,
//! its contents (RFC 959, RFC 2428).

use std::net::SocketAddr;

use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::credentials::Credentials;
use crate::options::own_mail_address;
use crate::outcome::excerpt;
use crate::pattern::Pattern;
use crate::probe::connection::Connection;
use crate::probe::replies;

/// Bytes that the file may have.
const FILE: usize = 1 << 20;

/// A check that fetches a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ftp {
    /// Login that fetches it.
    pub credentials: Credentials,
    /// The file; empty: none, the login is enough.
    pub request: String,
    /// Pattern that the file must match.
    pub receive: Option<Pattern>,
}

impl Ftp {
    /// Without a login an anonymous one.
    pub(super) fn make(options: &Options) -> Checker {
        let mut credentials = options.credentials.clone();
        if credentials.login.is_empty() {
            "anonymous".clone_into(&mut credentials.login);
        }
        if credentials.password.is_empty() {
            credentials.password = own_mail_address();
        }
        Self {
            credentials,
            request: options.bare_request().to_owned(),
            receive: options.receive.clone(),
        }
        .into()
    }
}

impl Negotiate for Ftp {
    fn name(&self) -> &'static str {
        "ftp"
    }

    /// Each step needs the one before it: no file without a login.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let mut connection = Connection::open(probe).await?;
        let greeting = "greeting";
        let reply = replies::expect(&mut connection, greeting, &[220]).await?;
        let mut found = reply.phrase(greeting);
        if !self.credentials.login.is_empty() {
            login(&mut connection, &self.credentials).await?;
            "login".clone_into(&mut found);
        }
        if !self.request.is_empty() {
            let contents = fetch(probe, &mut connection, &self.request).await?;
            found = format!("file of {} bytes", contents.len());
            if let Some(receive) = &self.receive
                && !receive.accepts(&contents)
            {
                let found = format!("file {}", excerpt(&contents));
                return Err(Failure::answer(found, receive.to_string()));
            }
        }
        replies::quit(&mut connection, "QUIT").await;
        Ok(found)
    }

    fn lint(&self, lint: &mut Lint) {
        if self.request.is_empty() || self.receive.is_none() {
            lint.warn(
                "without request and receive the check asks for no more than a login",
                "add the name of a file and a pattern that is in it",
            );
        }
    }
}

/// The login of RFC 959, section 6. A server that wants an account (332) gets none.
async fn login(connection: &mut Connection<'_>, credentials: &Credentials) -> Result<(), Failure> {
    let user = format!("USER {}", credentials.login);
    let reply = replies::command(connection, &user, "answer to USER", &[230, 331]).await?;
    if reply.code == 331 {
        let pass = format!("PASS {}", credentials.password);
        replies::command(connection, &pass, "answer to PASS", &[230, 202]).await?;
    }
    Ok(())
}

/// Fetches a file over a connection of its own.
async fn fetch(
    probe: &Probe<'_>,
    connection: &mut Connection<'_>,
    file: &str,
) -> Result<Vec<u8>, Failure> {
    replies::command(connection, "CWD /", "answer to CWD", &[250, 200]).await?;
    replies::command(connection, "TYPE I", "answer to TYPE", &[200]).await?;
    let port = passive(connection, probe.target().is_ipv6()).await?;
    // To the server that is probed, whatever address it names: with another one it would make us connect
    // to any host (RFC 2577, section 3).
    let to = SocketAddr::new(probe.target().ip(), port);
    let mut data = Connection::open_to(probe, to).await?;
    let retrieve = format!("RETR {file}");
    replies::command(connection, &retrieve, "answer to RETR", &[125, 150]).await?;
    let contents = data.rest(FILE, "file").await?;
    replies::expect(connection, "end of the transfer", &[226, 250]).await?;
    Ok(contents.to_vec())
}

/// Port to fetch from. IPv4 is asked for in the words of 1985, which all servers and the firewalls
/// before them know.
async fn passive(connection: &mut Connection<'_>, ipv6: bool) -> Result<u16, Failure> {
    let (awaited, reply, port) = if ipv6 {
        let awaited = "answer to EPSV";
        let reply = replies::command(connection, "EPSV", awaited, &[229]).await?;
        let port = extended_port(&reply.text);
        (awaited, reply, port)
    } else {
        let awaited = "answer to PASV";
        let reply = replies::command(connection, "PASV", awaited, &[227]).await?;
        let port = classic_port(&reply.text);
        (awaited, reply, port)
    };
    port.filter(|port| *port != 0)
        .ok_or_else(|| Failure::answer(reply.phrase(awaited), "a port"))
}

/// `229 Entering Extended Passive Mode (|||6446|)`, with any delimiter (RFC 2428, section 3).
fn extended_port(text: &str) -> Option<u16> {
    let mut rest = text.split_once('(')?.1.chars();
    let delimiter = rest.next()?;
    let rest = rest
        .as_str()
        .strip_prefix([delimiter; 2].iter().collect::<String>().as_str())?;
    rest.split_once(delimiter)?.0.parse().ok()
}

/// `227 Entering Passive Mode (10,9,0,1,205,178).`, with or without the parentheses
/// (RFC 1123, section 4.1.2.6).
fn classic_port(text: &str) -> Option<u16> {
    let after_code = text.get(4..)?;
    let begin = after_code.find(|char: char| char.is_ascii_digit())?;
    let numbers = &after_code[begin..];
    let end = numbers
        .find(|char: char| !char.is_ascii_digit() && char != ',')
        .unwrap_or(numbers.len());
    let numbers: Option<Vec<u8>> = numbers[..end]
        .split(',')
        .map(|number| number.parse().ok())
        .collect();
    let [_, _, _, _, high, low] = numbers?[..] else {
        return None;
    };
    Some(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_where_servers_put_them() {
        let classic = "227 Entering Passive Mode (10,9,0,1,205,178).";
        assert_eq!(classic_port(classic), Some(52658));
        assert_eq!(classic_port("227 =10,9,0,1,0,21"), Some(21));
        assert_eq!(classic_port("227 (10,9,0,1,205)"), None);
        assert_eq!(classic_port("227 (10,9,0,1,205,256)"), None);
        assert_eq!(classic_port("227"), None);
        let extended = "229 Entering Extended Passive Mode (|||33968|)";
        assert_eq!(extended_port(extended), Some(33968));
        assert_eq!(extended_port("229 (!!!21!)"), Some(21));
        assert_eq!(extended_port("229 (|1|10.9.0.1|21|)"), None);
        assert_eq!(extended_port("229 (|||99999|)"), None);
        assert_eq!(extended_port("229 (üüü21ü"), Some(21));
        assert_eq!(extended_port("229 ("), None);
    }
}
