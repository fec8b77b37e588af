//! The options of a negotiating health check, as a configuration writes them.

use std::ops::RangeInclusive;

use super::credentials::Credentials;
use super::pattern::Pattern;
use super::probe::tls::Tls;

/// Options of a check; each kind uses those that it knows.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The virtual service is TCP.
    pub tcp: bool,
    /// `request`.
    pub request: Option<String>,
    /// `receive` or `receivenot`.
    pub receive: Option<Pattern>,
    /// `row`.
    pub row: Option<Pattern>,
    /// `status`; empty: 200 to 299.
    pub status: Vec<RangeInclusive<u16>>,
    /// `httpmethod`.
    pub http_method: Option<String>,
    /// `virtualhost`.
    pub virtual_host: Option<String>,
    /// `redirects`.
    pub redirects: Option<u8>,
    /// `maxhead`: bytes of the head of an HTTP answer.
    pub max_head: Option<u32>,
    /// `maxbody`: bytes of its body that are read.
    pub max_body: Option<u32>,
    /// `login` and `passwd`.
    pub credentials: Credentials,
    /// `database`.
    pub database: String,
    /// `secret`.
    pub secret: String,
    /// `record`.
    pub record: Option<String>,
    /// `starttls`.
    pub start_tls: bool,
    /// `sni`, `cafile` and `verify`.
    pub tls: Tls,
}

impl Options {
    /// The request of all kinds but http: without the `/` that ldirectord writes before everything.
    pub(super) fn bare_request(&self) -> &str {
        let request = self.request.as_deref().unwrap_or_default();
        request.strip_prefix('/').unwrap_or(request)
    }

    /// The request with those escapes replaced that are among `known`: line feed, carriage return, tab,
    /// NUL, backslash, `\xHH`.
    pub(super) fn unescaped_request(&self, known: &str) -> Vec<u8> {
        unescaped(self.bare_request(), known)
    }
}

/// The mail address that stands for the director where a protocol wants one.
pub(super) fn own_mail_address() -> String {
    let host = dns_lookup::get_hostname().unwrap_or_default();
    format!("ldirectord@{host}")
}

fn unescaped(text: &str, known: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        let escape = after
            .chars()
            .next()
            .filter(|escape| known.contains(*escape));
        let hex = after
            .get(1..3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, length) = match (escape, hex) {
            (Some('n'), _) => (b'\n', 1),
            (Some('r'), _) => (b'\r', 1),
            (Some('t'), _) => (b'\t', 1),
            (Some('0'), _) => (0, 1),
            (Some('\\'), _) => (b'\\', 1),
            (Some('x'), Some(byte)) => (byte, 3),
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(unescaped("a\\nb\\r", "n"), b"a\nb\\r");
        assert_eq!(
            unescaped("\\x01\\xff\\0\\\\n\\xzz\\", "nrt0x\\"),
            b"\x01\xff\0\\n\\xzz\\"
        );
    }
}
