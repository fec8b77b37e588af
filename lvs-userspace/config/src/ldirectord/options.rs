//! The options of a negotiating check, from all scopes.

use std::path::PathBuf;

use lvs_health::credentials::Credentials;
use lvs_health::options::Options;
use lvs_health::pattern::Pattern;
use lvs_health::probe::tls::Tls;

use super::diagnostic::Diagnostic;
use super::keywords::Key;
use super::settings::Scopes;

/// All options that are written.
pub(super) fn options(
    scopes: Scopes<'_>,
    tcp: bool,
    line: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Options {
    let text = |key| scopes.text(key).map(str::to_owned);
    let redirects = scopes.number(Key::Redirects);
    Options {
        tcp,
        request: text(Key::Request),
        receive: receive(scopes, line, diagnostics),
        row: scopes.pattern(Key::Row).cloned(),
        status: scopes.status(Key::Status).cloned().unwrap_or_default(),
        http_method: text(Key::HttpMethod),
        virtual_host: text(Key::VirtualHost),
        redirects: redirects.and_then(|number| u8::try_from(number).ok()),
        max_head: scopes.number(Key::MaxHead),
        max_body: scopes.number(Key::MaxBody),
        credentials: Credentials {
            login: scopes.string(Key::Login),
            password: scopes.string(Key::Passwd),
        },
        database: scopes.string(Key::Database),
        secret: scopes.string(Key::Secret),
        record: text(Key::Record),
        start_tls: scopes.flag(Key::StartTls),
        tls: Tls {
            name: text(Key::Sni),
            authorities: scopes.text(Key::CaFile).map(PathBuf::from),
            unverified: scopes.flag_of(Key::Verify) == Some(&false),
        },
    }
}

/// The pattern that the answer must, or must not, match: that of the innermost scope that has one.
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
