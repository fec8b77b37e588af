//! Packets, and the fields they are made of.

use super::super::query::expected;
use crate::outcome::{Failure, phrase};
use crate::probe::connection::Connection;

/// First bytes of an answer.
pub(super) const OK: u8 = 0x00;
/// Something more about a login.
pub(super) const MORE: u8 = 0x01;
/// A request for a file of the client's.
pub(super) const LOCAL_FILE: u8 = 0xfb;
/// The end of something; in a login, another way to do it.
pub(super) const END: u8 = 0xfe;
/// A refusal.
pub(super) const ERROR: u8 = 0xff;

/// A connection that speaks in numbered packets.
pub(super) struct Packets<'p> {
    pub(super) connection: Connection<'p>,
    /// Number of the next packet.
    pub(super) number: u8,
}

impl<'p> Packets<'p> {
    pub(super) fn new(connection: Connection<'p>) -> Self {
        Self {
            connection,
            number: 0,
        }
    }

    /// Reads a packet. The connection bounds its length.
    pub(super) async fn next(&mut self, awaited: &'static str) -> Result<Vec<u8>, Failure> {
        let head = self.connection.exactly(4, awaited).await?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        self.number = head[3].wrapping_add(1);
        let body = self.connection.exactly(length as usize, awaited).await?;
        Ok(body.to_vec())
    }

    /// Sends what answers the last packet.
    pub(super) async fn send(&mut self, body: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(body.len())
            .ok()
            // Longer ones would have to be cut.
            .filter(|length| *length < 0xff_ffff)
            .ok_or_else(|| Failure::Own("a query of more than 16 MB".to_owned()))?;
        let [low, middle, high, _] = length.to_le_bytes();
        let packet = [&[low, middle, high, self.number], body].concat();
        self.number = self.number.wrapping_add(1);
        self.connection.send(&packet).await
    }

    /// Sends a command, with which the numbers begin anew.
    pub(super) async fn command(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.number = 0;
        self.send(body).await
    }
}

/// The packet ends columns or rows: a row that begins with the same byte holds at least 16 MB.
pub(super) fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&END) && packet.len() < 9
}

/// The rest of a packet.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// So many bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Bytes to the next zero byte, or to the end: older servers leave the last zero byte out.
    pub(super) fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = self.0.get(text.len() + 1..).unwrap_or_default();
        text
    }

    /// A number with its length.
    pub(super) fn number(&mut self) -> Option<u64> {
        let count = match self.take(1)?[0] {
            small @ 0..=0xfa => return Some(u64::from(small)),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(self.take(count)?);
        Some(u64::from_le_bytes(bytes))
    }

    /// A value with its length, or NULL.
    #[expect(
        clippy::option_option,
        reason = "NULL is a value, a broken packet is none"
    )]
    pub(super) fn value(&mut self) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&0xfb) {
            self.take(1)?;
            return Some(None);
        }
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length).map(Some)
    }
}

/// The failure that an error packet reports.
pub(super) fn refusal(packet: &[u8], awaited: &'static str) -> Failure {
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
        phrase(&format!("{awaited} error {code}"), &said),
        expected(awaited),
    )
}

pub(super) fn malformed(awaited: &'static str) -> Failure {
    Failure::answer(format!("{awaited} that is not MySQL"), "MySQL")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_values() {
        assert_eq!(Fields(&[0xfa]).number(), Some(0xfa));
        assert_eq!(Fields(&[0xfc, 1, 2]).number(), Some(0x201));
        assert_eq!(Fields(&[0xfd, 1, 2, 3]).number(), Some(0x3_0201));
        assert_eq!(Fields(&[0xfe, 1, 0, 0, 0, 0, 0, 0, 0]).number(), Some(1));
        assert_eq!(Fields(&[0xfc, 1]).number(), None);
        assert_eq!(Fields(&[0xff]).number(), None);
        assert_eq!(Fields(b"\x02ab").value(), Some(Some(&b"ab"[..])));
        assert_eq!(Fields(b"\xfb").value(), Some(None));
        assert_eq!(Fields(b"\x03ab").value(), None);
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut fields = Fields(&bytes);
            while fields.value().is_some() {}
            Fields(&bytes).until_zero();
        }
    }
}
