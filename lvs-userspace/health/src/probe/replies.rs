//! Protocols of lines: a command, and a reply that begins with a code (SMTP, FTP, NNTP).

use super::connection::Connection;
use crate::outcome::{Failure, phrase};

/// A reply of one line or more.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its code.
    pub(crate) code: u16,
    /// Its first line, the code included.
    pub(crate) text: String,
}

impl Reply {
    /// As a phrase: `answer to EHLO "250-mail.example"`.
    pub(crate) fn phrase(&self, awaited: &str) -> String {
        phrase(awaited, &self.text)
    }

    /// Itself, if its code is one of these.
    pub(crate) fn expect(self, awaited: &str, codes: &[u16]) -> Result<Self, Failure> {
        if codes.contains(&self.code) {
            return Ok(self);
        }
        let expected: Vec<_> = codes.iter().map(u16::to_string).collect();
        Err(Failure::answer(self.phrase(awaited), expected.join(" or ")))
    }
}

/// Reads a reply. One of several lines has a hyphen after its code and ends with the line that begins
/// with the same code and a blank (RFC 959, section 4.2; RFC 5321, section 4.2.1).
pub(crate) async fn reply(
    connection: &mut Connection<'_>,
    awaited: &'static str,
) -> Result<Reply, Failure> {
    let text = connection.line(awaited).await?;
    let Some(code) = code(&text) else {
        return Err(Failure::answer(phrase(awaited, &text), "a code"));
    };
    if text.as_bytes().get(3) == Some(&b'-') {
        loop {
            let line = connection.line(awaited).await?;
            if self::code(&line) == Some(code) && line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
    }
    Ok(Reply { code, text })
}

/// Reads a reply whose code must be one of these.
pub(crate) async fn expect(
    connection: &mut Connection<'_>,
    awaited: &'static str,
    codes: &[u16],
) -> Result<Reply, Failure> {
    reply(connection, awaited).await?.expect(awaited, codes)
}

/// Sends a line, and reads a reply whose code must be one of these.
pub(crate) async fn command(
    connection: &mut Connection<'_>,
    line: &str,
    awaited: &'static str,
    codes: &[u16],
) -> Result<Reply, Failure> {
    send(connection, line).await?;
    expect(connection, awaited, codes).await
}

/// Sends a line. What is put into it from a file is one line of text, or it would be a second
/// command.
pub(crate) async fn send(connection: &mut Connection<'_>, line: &str) -> Result<(), Failure> {
    if line.contains(['\r', '\n', '\0']) {
        return Err(Failure::Own(
            "a line end in a name, a password or a request".to_owned(),
        ));
    }
    connection.send(format!("{line}\r\n").as_bytes()).await
}

/// Sends the command that ends a session. Nothing depends on it: the server has shown what it can do.
pub(crate) async fn quit(connection: &mut Connection<'_>, line: &str) {
    send(connection, line).await.ok();
}

/// Three digits, and a blank, a hyphen or the end of the line.
fn code(line: &str) -> Option<u16> {
    let digits = line.as_bytes().get(..3)?;
    let ends = matches!(line.as_bytes().get(3), None | Some(b' ' | b'-'));
    (ends && digits.iter().all(u8::is_ascii_digit)).then(|| line[..3].parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_three_digits_alone() {
        assert_eq!(code("220 ready"), Some(220));
        assert_eq!(code("220-ready"), Some(220));
        assert_eq!(code("220"), Some(220));
        assert_eq!(code("2200 ready"), None);
        assert_eq!(code("22"), None);
        assert_eq!(code("+22 x"), None);
        assert_eq!(code("ü2 x"), None);
        assert_eq!(code(""), None);
    }
}
