//! `service = mysql`: MySQL's and MariaDB's protocol as far as a login and a query need it.
//!
//! The client libraries there are bring pools, type conversion and compression, accept no connection
//! of ours and read without a limit; this is a handshake and a text result.

mod login;
mod packet;

use self::packet::{Fields, Packets, malformed, refusal};
use super::query::{QUERY, Query, Rows, text};
use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::probe::connection::Connection;

// The protocol's text commands.
const COM_QUERY: u8 = 0x03;
const COM_QUIT: u8 = 0x01;

/// A check that queries MySQL or MariaDB.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mysql(pub Query);

impl Mysql {
    pub(super) fn make(options: &Options) -> Checker {
        Self(Query::new(options)).into()
    }
}

impl Negotiate for Mysql {
    fn name(&self) -> &'static str {
        "sql"
    }

    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let connection = Connection::open(probe).await?;
        let mut packets = login::login(connection, &self.0).await?;
        let found = if self.0.query.is_empty() {
            "login".to_owned()
        } else {
            ask(&mut packets, &self.0).await?
        };
        // To a server that is still sending rows, this comes as the end does: unawaited.
        packets.command(&[COM_QUIT]).await.ok();
        Ok(found)
    }

    fn lint(&self, lint: &mut Lint) {
        self.0.lint(lint);
    }
}

async fn ask(packets: &mut Packets<'_>, query: &Query) -> Found {
    let command = [&[COM_QUERY], query.query.as_bytes()].concat();
    packets.command(&command).await?;
    let answer = packets.next(QUERY).await?;
    let columns = match answer.first() {
        // A statement without rows.
        Some(&packet::OK) => return Rows::new(query).outcome(),
        Some(&packet::ERROR) => return Err(refusal(&answer, QUERY)),
        // LOAD DATA LOCAL: a server may ask for any file of its client. It gets none.
        Some(&packet::LOCAL_FILE) => {
            return Err(Failure::answer("a request for a local file", "rows"));
        }
        _ => Fields(&answer).number().ok_or_else(|| malformed(QUERY))?,
    };
    // The description of each column, and its end.
    for _ in 0..columns {
        packets.next(QUERY).await?;
    }
    if !packet::is_end(&packets.next(QUERY).await?) {
        return Err(malformed(QUERY));
    }
    let mut rows = Rows::new(query);
    loop {
        let row = packets.next(QUERY).await?;
        if packet::is_end(&row) {
            break;
        }
        if row.first() == Some(&packet::ERROR) {
            return Err(refusal(&row, QUERY));
        }
        let mut fields = Fields(&row);
        let mut values = Vec::new();
        for _ in 0..columns {
            let value = fields.value().ok_or_else(|| malformed(QUERY))?;
            values.push(value.map(String::from_utf8_lossy));
        }
        if rows.add(&text(values.into_iter())) {
            break;
        }
    }
    rows.outcome()
}
