//! `service = ldap` and `ldaps`: a bind, and a search for one entry (RFC 4511).

mod ber;

use self::ber::{BOOLEAN, ENUMERATED, INTEGER, Length, OCTETS, SEQUENCE, constructed, value};
use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::credentials::Credentials;
use crate::outcome::{excerpt, phrase};
use crate::pattern::Pattern;
use crate::probe::connection::Connection;
use crate::probe::tls::Tls;

/// Bytes of one message of the server.
const MESSAGE: usize = 64 << 10;

// protocolOp (section 4.2 and following), as tags.
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;

/// A check that searches a directory for one entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ldap {
    /// Login of the bind; an empty name binds anonymously.
    pub credentials: Credentials,
    /// Base of the search.
    pub base: String,
    /// Pattern that the entry's name must match.
    pub receive: Option<Pattern>,
    /// With TLS from the start.
    pub tls: Option<Tls>,
}

impl Ldap {
    pub(super) fn make(options: &Options) -> Checker {
        Self::new(options, None).into()
    }

    pub(super) fn make_tls(options: &Options) -> Checker {
        Self::new(options, Some(options.tls.clone())).into()
    }

    fn new(options: &Options, tls: Option<Tls>) -> Self {
        Self {
            credentials: options.credentials.clone(),
            base: options.bare_request().to_owned(),
            receive: options.receive.clone(),
            tls,
        }
    }
}

impl Negotiate for Ldap {
    const HAS_CHECK_TIMEOUT: bool = true;

    fn name(&self) -> &'static str {
        "ldap"
    }

    /// Binds, and searches for the entry that is the base of the search. An empty base is the server's
    /// own entry, which every server has (section 5.1 of RFC 4512).
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let mut connection = Connection::open_tls(probe, self.tls.as_ref()).await?;
        connection.send(&bind(&self.credentials)).await?;
        let awaited = "answer to the bind";
        let (tag, contents) = message(&mut connection, 1, awaited).await?;
        if tag != BIND_RESPONSE {
            return Err(malformed(awaited));
        }
        succeeded(&contents, awaited)?;

        connection.send(&search(&self.base)).await?;
        let awaited = "answer to the search";
        let mut entry = None;
        loop {
            let (tag, contents) = message(&mut connection, 2, awaited).await?;
            match tag {
                SEARCH_ENTRY => {
                    let mut rest = &contents[..];
                    let name = ber::expect(&mut rest, OCTETS).ok_or_else(|| malformed(awaited))?;
                    let name = String::from_utf8_lossy(name).into_owned();
                    if entry.replace(name).is_some() {
                        return Err(Failure::answer("several entries", "exactly one"));
                    }
                }
                SEARCH_REFERENCE => {}
                SEARCH_DONE => {
                    succeeded(&contents, awaited)?;
                    break;
                }
                _ => return Err(malformed(awaited)),
            }
        }
        connection
            .send(&request(3, value(UNBIND_REQUEST, &[])))
            .await
            .ok();
        let Some(name) = entry else {
            return Err(Failure::answer("no entry", "exactly one"));
        };
        let found = phrase("entry", &name);
        match &self.receive {
            Some(receive) if !receive.accepts(name.as_bytes()) => {
                Err(Failure::answer(found, receive.to_string()))
            }
            _ => Ok(found),
        }
    }

    fn lint(&self, lint: &mut Lint) {
        if let Some(tls) = &self.tls {
            tls.lint(lint);
        }
    }
}

/// A message around an operation (section 4.1.1).
fn request(id: u8, operation: Vec<u8>) -> Vec<u8> {
    constructed(SEQUENCE, &[value(INTEGER, &[id]), operation])
}

/// A simple bind; without a name or a password an anonymous one: a name without a password would be
/// anonymous as well, and no proof of the name (sections 5.1.2 and 6.3.1 of RFC 4513).
fn bind(credentials: &Credentials) -> Vec<u8> {
    let anonymous = credentials.login.is_empty() || credentials.password.is_empty();
    let (name, password) = if anonymous {
        ("", "")
    } else {
        (&*credentials.login, &*credentials.password)
    };
    let version = value(INTEGER, &[3]);
    let name = value(OCTETS, name.as_bytes());
    // Tag 0 of AuthenticationChoice: simple.
    let password = value(0x80, password.as_bytes());
    request(1, constructed(BIND_REQUEST, &[version, name, password]))
}

/// A search for the base itself, whatever it is, and for none of its attributes (section 4.5.1).
fn search(base: &str) -> Vec<u8> {
    let operation = constructed(
        SEARCH_REQUEST,
        &[
            value(OCTETS, base.as_bytes()),
            // baseObject, neverDerefAliases.
            value(ENUMERATED, &[0]),
            value(ENUMERATED, &[0]),
            // No limit of size, none of time: the probe has its own.
            value(INTEGER, &[0]),
            value(INTEGER, &[0]),
            value(BOOLEAN, &[0]),
            // (objectClass=*), present.
            value(0x87, b"objectClass"),
            constructed(SEQUENCE, &[value(OCTETS, b"1.1")]),
        ],
    );
    request(2, operation)
}

/// Reads a message and returns its operation: tag and contents.
async fn message(
    connection: &mut Connection<'_>,
    id: u32,
    awaited: &'static str,
) -> Result<(u8, Vec<u8>), Failure> {
    let mut bytes = connection.exactly(2, awaited).await?;
    let contents = loop {
        match ber::length(&bytes) {
            Length::Unknown => bytes.unsplit(connection.exactly(1, awaited).await?),
            Length::Known { contents, .. } => break contents,
            Length::Wrong => return Err(malformed(awaited)),
        }
    };
    if bytes[0] != SEQUENCE {
        return Err(malformed(awaited));
    }
    if contents > MESSAGE {
        return Err(Failure::TooLong { limit: MESSAGE });
    }
    let contents = connection.exactly(contents, awaited).await?;
    let mut rest = &contents[..];
    let answered = ber::expect(&mut rest, INTEGER).and_then(ber::number);
    let (Some(answered), Some((tag, operation))) = (answered, ber::split(&mut rest)) else {
        return Err(malformed(awaited));
    };
    // Number 0 is news that nobody asked for: the server is about to hang up (section 4.4.1).
    if answered == 0 && tag == EXTENDED_RESPONSE {
        succeeded(operation, "notice of disconnection")?;
    }
    if answered != id {
        return Err(malformed(awaited));
    }
    Ok((tag, operation.to_vec()))
}

/// Reads an LDAPResult (section 4.1.9), which has to be 0.
fn succeeded(contents: &[u8], awaited: &'static str) -> Result<(), Failure> {
    let mut rest = contents;
    let code = ber::expect(&mut rest, ENUMERATED)
        .and_then(ber::number)
        .ok_or_else(|| malformed(awaited))?;
    if code == 0 {
        return Ok(());
    }
    let _matched = ber::expect(&mut rest, OCTETS);
    let said = ber::expect(&mut rest, OCTETS).unwrap_or_default();
    let name = result_name(code).map_or(String::new(), |name| format!(" ({name})"));
    let said = match said {
        [] => String::new(),
        said => format!(", {}", excerpt(said)),
    };
    Err(Failure::answer(
        format!("{awaited} {code}{name}{said}"),
        "0 (success)",
    ))
}

/// The results a probe may meet (appendix A.2).
fn result_name(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "operationsError",
        2 => "protocolError",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        13 => "confidentialityRequired",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        _ => return None,
    })
}

fn malformed(awaited: &'static str) -> Failure {
    Failure::answer(format!("{awaited} that is not LDAP"), "LDAP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_reported_with_its_name_and_the_text_of_the_server() {
        let result = |code: u8, said: &[u8]| {
            [
                value(ENUMERATED, &[code]),
                value(OCTETS, b""),
                value(OCTETS, said),
            ]
            .concat()
        };
        let failure = |code, said| succeeded(&result(code, said), "answer to the bind");
        assert!(failure(0, b"").is_ok());
        assert_eq!(
            failure(49, b"").unwrap_err().to_string(),
            "answer to the bind 49 (invalidCredentials), expected 0 (success)"
        );
        assert_eq!(
            failure(80, b"too\nbad").unwrap_err().to_string(),
            "answer to the bind 80, \"too\\nbad\", expected 0 (success)"
        );
        assert_eq!(
            succeeded(&[], "answer to the bind")
                .unwrap_err()
                .to_string(),
            "answer to the bind that is not LDAP, expected LDAP"
        );
    }

    #[test]
    fn a_name_without_a_password_binds_as_nobody() {
        let credentials = |login: &str, password: &str| Credentials {
            login: login.to_owned(),
            password: password.to_owned(),
        };
        assert_eq!(
            bind(&credentials("cn=admin", "")),
            bind(&Credentials::default())
        );
        assert_eq!(
            bind(&credentials("a", "b")),
            b"\x30\x0e\x02\x01\x01\x60\x09\x02\x01\x03\x04\x01a\x80\x01b"
        );
    }
}
