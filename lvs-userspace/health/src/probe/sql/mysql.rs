//! MySQL and MariaDB: their protocol as far as a login and a query need it.
//!
//! The client libraries there are bring pools, type conversion and compression, take no connection
//! of ours and read whatever a server sends; this is a handshake and a text result.

mod login;
mod packet;

use super::super::connection::Connection;
use super::super::{Failure, Found, Probe, dialogue};
use super::{QUERY, Question, Rows, expected, text};
use packet::{Fields, Packets};

/// The protocol's text commands.
const COM_QUERY: u8 = 0x03;
const COM_QUIT: u8 = 0x01;

/// Logs in and asks.
pub(super) async fn probe(probe: &Probe<'_>, question: &Question<'_>) -> Found {
    let connection = Connection::open(probe).await?;
    let mut packets = login::login(connection, question).await?;
    let found = if question.query.is_empty() {
        "login".to_owned()
    } else {
        ask(&mut packets, question).await?
    };
    // To a server that is still sending rows, this comes as the end does: unawaited.
    packets.command(&[COM_QUIT]).await.ok();
    Ok(found)
}

async fn ask(packets: &mut Packets<'_>, question: &Question<'_>) -> Found {
    let command = [&[COM_QUERY], question.query.as_bytes()].concat();
    packets.command(&command).await?;
    let answer = packets.next(QUERY).await?;
    let columns = match answer.first() {
        // A statement without rows.
        Some(&packet::OK) => return Rows::new(question).verdict(),
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
    let mut rows = Rows::new(question);
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
        if rows.take(&text(values.into_iter())) {
            break;
        }
    }
    rows.verdict()
}

/// What an error packet says.
fn refusal(packet: &[u8], awaited: &'static str) -> Failure {
    let mut fields = Fields(packet.get(1..).unwrap_or_default());
    let Some(code) = fields.take(2) else {
        return malformed(awaited);
    };
    let code = u16::from_le_bytes([code[0], code[1]]);
    // `#` and five characters of SQLSTATE, once the protocol is agreed upon.
    let said = match fields.0 {
        [b'#', rest @ ..] => rest.get(5..).unwrap_or_default(),
        all => all,
    };
    let said = String::from_utf8_lossy(said);
    Failure::answer(
        dialogue::phrase(&format!("{awaited} error {code}"), &said),
        expected(awaited),
    )
}

fn malformed(awaited: &'static str) -> Failure {
    Failure::answer(format!("{awaited} that is not MySQL"), "MySQL")
}
