//! `service = smtp` and `submission`: a greeting, and an answer to EHLO (RFC 5321).

use std::net::IpAddr;

use crate::checker::{Checker, Failure, Found, Negotiate, Options, Probe};
use crate::probe::connection::Connection;
use crate::probe::replies::{self, Reply};
use crate::probe::tls::Tls;

const GREETING: &str = "greeting";
const EHLO: &str = "answer to EHLO";

/// A check of a mail server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Smtp {
    /// TLS, after `STARTTLS`.
    pub tls: Option<Tls>,
}

impl Smtp {
    pub(super) fn make(options: &Options) -> Checker {
        let tls = options.start_tls.then(|| options.tls.clone());
        Self { tls }.into()
    }
}

impl Negotiate for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    /// Greets as a client does that has mail to bring; with TLS, once more under its protection.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let mut connection = Connection::open(probe).await?;
        replies::expect(&mut connection, GREETING, &[220]).await?;
        let own = connection.own_address().map_err(|source| Failure::Io {
            awaited: GREETING,
            source,
        })?;
        let name = literal(own.ip());
        let mut reply = hello(&mut connection, &name).await?;
        if let Some(tls) = &self.tls {
            let starttls = "answer to STARTTLS";
            replies::command(&mut connection, "STARTTLS", starttls, &[220]).await?;
            connection = connection.start_tls(tls).await?;
            // What was said before counts no more (RFC 3207, section 4.2).
            reply = hello(&mut connection, &name).await?;
        }
        replies::quit(&mut connection, "QUIT").await;
        Ok(reply.phrase(EHLO))
    }
}

/// EHLO; or, to a server that does not know it, HELO (RFC 5321, section 3.2).
async fn hello(connection: &mut Connection<'_>, name: &str) -> Result<Reply, Failure> {
    replies::send(connection, &format!("EHLO {name}")).await?;
    let reply = replies::reply(connection, EHLO).await?;
    if matches!(reply.code, 500 | 502) {
        let helo = format!("HELO {name}");
        return replies::command(connection, &helo, "answer to HELO", &[250]).await;
    }
    reply.expect(EHLO, &[250])
}

/// Our address as a name: a client without a name in the DNS has to give this
/// (RFC 5321, sections 2.3.5 and 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}
