//! What `checktype = negotiate` asks and expects, service by service.

use std::net::IpAddr;
use std::path::PathBuf;

use super::checks;
use super::diagnostic::Diagnostic;
use super::keywords::Key;
use super::settings::Scopes;
use lvs_api::model::Protocol;
use lvs_health::check::{Credentials, Http, Mailbox, Service, SqlEngine, Tls};
use lvs_health::pattern::Pattern;

/// Redirects that LWP follows, which ldirectord asks with.
const REDIRECTS: u8 = 7;

/// What is negotiated under a name of the keyword `service`.
pub(super) fn service(
    name: &str,
    virtual_service: &checks::Service<'_>,
    scopes: Scopes<'_>,
    line: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Service {
    let receive = receive(scopes, line, diagnostics);
    let tcp = virtual_service.protocol() == Protocol::Tcp;
    match name {
        "http" => Service::Http(http(scopes, receive, None)),
        "https" => Service::Http(http(scopes, receive, Some(tls(scopes)))),
        "http_proxy" => Service::HttpProxy(http(scopes, receive, Some(tls(scopes)))),
        "smtp" | "submission" => Service::Smtp {
            tls: scopes.flag(Key::StartTls).then(|| tls(scopes)),
        },
        "pop" => Service::Pop(mailbox(scopes, None)),
        "pops" => Service::Pop(mailbox(scopes, Some(tls(scopes)))),
        "imap" => Service::Imap(mailbox(scopes, None)),
        "imaps" => Service::Imap(mailbox(scopes, Some(tls(scopes)))),
        "ftp" => {
            let mut credentials = credentials(scopes);
            if credentials.login.is_empty() {
                "anonymous".clone_into(&mut credentials.login);
            }
            if credentials.password.is_empty() {
                credentials.password = myself();
            }
            Service::Ftp {
                credentials,
                request: request(scopes),
                receive,
            }
        }
        "nntp" => Service::Nntp,
        "ldap" | "ldaps" => Service::Ldap {
            credentials: credentials(scopes),
            base: request(scopes),
            receive,
            tls: (name == "ldaps").then(|| tls(scopes)),
        },
        "dns" => {
            let name = request(scopes);
            let by_name = if name.parse::<IpAddr>().is_ok() {
                "PTR"
            } else {
                "A"
            };
            Service::Dns {
                record: scopes.text(Key::Record).unwrap_or(by_name).to_owned(),
                name,
                receive,
                tcp,
            }
        }
        "mysql" => sql(SqlEngine::Mysql, scopes),
        "pgsql" => sql(SqlEngine::Postgresql, scopes),
        "oracle" => sql(SqlEngine::Oracle, scopes),
        "sip" => Service::Sip {
            login: scopes.text(Key::Login).map_or_else(myself, str::to_owned),
            tcp,
        },
        "radius" => Service::Radius {
            credentials: credentials(scopes),
            secret: scopes.string(Key::Secret),
        },
        "redis" => Service::Redis {
            credentials: credentials(scopes),
            request: request(scopes),
            receive,
        },
        "simpletcp" => Service::SimpleTcp {
            request: String::from_utf8_lossy(&unescaped(&request(scopes), "n")).into_owned(),
            receive,
        },
        "udp" => Service::Udp {
            payload: unescaped(&request(scopes), "nrt0x\\"),
            receive,
        },
        "tls" => Service::Tls(tls(scopes)),
        _ => Service::None,
    }
}

/// What must, or must not, be in the answer: the word of the innermost scope that has one.
fn receive(scopes: Scopes<'_>, line: usize, diagnostics: &mut Vec<Diagnostic>) -> Option<Pattern> {
    scopes.0.iter().find_map(|settings| {
        let scope = [*settings];
        let scope = Scopes(&scope);
        match (scope.pattern(Key::Receive), scope.pattern(Key::ReceiveNot)) {
            (Some(_), Some(_)) => {
                let line = settings
                    .get(Key::ReceiveNot)
                    .map_or(line, |entry| entry.line);
                diagnostics.push(
                    Diagnostic::error(line, "both receive and receivenot")
                        .expected("one of them")
                        .hint("write a check line for each"),
                );
                None
            }
            (positive, negative) => positive.or(negative).cloned(),
        }
    })
}

fn http(scopes: Scopes<'_>, receive: Option<Pattern>, tls: Option<Tls>) -> Http {
    let request = scopes.text(Key::Request).unwrap_or("/");
    let whole_url = request.contains("://");
    Http {
        method: scopes.text(Key::HttpMethod).unwrap_or("GET").to_owned(),
        request: if whole_url || request.starts_with('/') {
            request.to_owned()
        } else {
            format!("/{request}")
        },
        virtual_host: scopes
            .text(Key::VirtualHost)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        status: scopes.status(Key::Status).cloned().unwrap_or_default(),
        receive,
        credentials: credentials(scopes),
        redirects: scopes
            .number(Key::Redirects)
            .and_then(|number| u8::try_from(number).ok())
            .unwrap_or(REDIRECTS),
        tls,
    }
}

fn tls(scopes: Scopes<'_>) -> Tls {
    Tls {
        name: scopes.text(Key::Sni).map(str::to_owned),
        authorities: scopes.text(Key::CaFile).map(PathBuf::from),
        unverified: scopes.flag_of(Key::Verify) == Some(&false),
    }
}

fn mailbox(scopes: Scopes<'_>, tls: Option<Tls>) -> Mailbox {
    Mailbox {
        credentials: credentials(scopes),
        tls,
    }
}

fn credentials(scopes: Scopes<'_>) -> Credentials {
    Credentials {
        login: scopes.string(Key::Login),
        password: scopes.string(Key::Passwd),
    }
}

fn sql(engine: SqlEngine, scopes: Scopes<'_>) -> Service {
    Service::Sql {
        engine,
        credentials: credentials(scopes),
        database: scopes.string(Key::Database),
        query: request(scopes),
        receive: scopes.pattern(Key::Row).cloned(),
    }
}

/// What services other than http are asked: without the `/` that ldirectord writes before everything.
fn request(scopes: Scopes<'_>) -> String {
    let request = scopes.text(Key::Request).unwrap_or_default();
    request.strip_prefix('/').unwrap_or(request).to_owned()
}

/// Who asks, where a mail address is asked for.
fn myself() -> String {
    let host = dns_lookup::get_hostname().unwrap_or_default();
    format!("ldirectord@{host}")
}

/// With those escapes replaced that are among `known`: line feed, carriage return, tab, NUL, `\xHH`.
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
