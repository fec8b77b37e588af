//! Keywords of the request and the expected answer that the check does not use.
//!
//! No table says which kind uses what: a keyword is used if the check would be another one with another value.

use lvs_health::checkers::Kind;
use lvs_health::options::Options;

use super::super::keywords::Key;
use super::super::options;
use super::super::settings::Scopes;

/// Gives a keyword another value.
type Change = fn(&mut Options);

/// The keywords.
const KEYWORDS: [(Key, Change); 19] = [
    (Key::Request, |options| append(&mut options.request)),
    (Key::Receive, |options| options.receive = None),
    (Key::ReceiveNot, |options| options.receive = None),
    (Key::Status, |options| options.status.push(0..=0)),
    (Key::HttpMethod, |options| append(&mut options.http_method)),
    (Key::VirtualHost, |options| {
        append(&mut options.virtual_host);
    }),
    (Key::Redirects, |options| {
        options.redirects = Some(options.redirects.unwrap_or_default() ^ 1);
    }),
    (Key::MaxHead, |options| increase(&mut options.max_head)),
    (Key::MaxBody, |options| increase(&mut options.max_body)),
    (Key::Login, |options| options.credentials.login.push('x')),
    (Key::Passwd, |options| {
        options.credentials.password.push('x');
    }),
    (Key::Database, |options| options.database.push('x')),
    (Key::Row, |options| options.row = None),
    (Key::Secret, |options| options.secret.push('x')),
    (Key::Record, |options| append(&mut options.record)),
    (Key::Sni, |options| append(&mut options.tls.name)),
    (Key::CaFile, |options| options.tls.authorities = None),
    (Key::Verify, |options| {
        options.tls.unverified = !options.tls.unverified;
    }),
    (Key::StartTls, |options| {
        options.start_tls = !options.start_tls;
    }),
];

fn append(text: &mut Option<String>) {
    text.get_or_insert_default().push('x');
}

fn increase(number: &mut Option<u32>) {
    *number = Some(number.unwrap_or_default() ^ 1);
}

/// All of them, which other checks than negotiations do not use.
pub(super) fn all() -> impl Iterator<Item = Key> {
    KEYWORDS.into_iter().map(|(key, _)| key)
}

/// Those that a negotiation of this kind, with these settings, does not use.
pub(super) fn unused(kind: &Kind, scopes: Scopes<'_>, tcp: bool) -> impl Iterator<Item = Key> {
    // Contradictions were reported when the check was made.
    let options = options::options(scopes, tcp, 0, &mut Vec::new());
    let check = (kind.make)(&options);
    KEYWORDS.into_iter().filter_map(move |(key, change)| {
        let mut changed = options.clone();
        change(&mut changed);
        ((kind.make)(&changed) == check).then_some(key)
    })
}
