//! `real = …` and `fallback = …`.

use std::net::IpAddr;

use lvs_api::model::Method;

use super::address::{HostPort, Port, method};
use super::check_line;
use super::diagnostic::Diagnostic;
use super::keywords::{Key, Scope, find};
use super::settings::{FallbackLine, RealLine, Settings};
use super::values::{Context, unquoted, value};

const METHODS: &str = "gate, masq or ipip";

/// A real server.
pub(super) fn real(name: &str, text: &str, context: &mut Context<'_>) -> Option<RealLine> {
    let mut words = text.splitn(2, |char: char| char.is_whitespace());
    let address = words.next().unwrap_or_default();
    let Some(rest) = words.next() else {
        context.error(
            "invalid address for real server (wrong format)",
            &format!("{name} = host:port, then {METHODS}"),
        );
        return None;
    };
    let (host, last, port) = range(address, context)?;
    let rest = rest.trim_start();
    let (word, rest) = rest
        .split_once(|char: char| char.is_whitespace())
        .unwrap_or((rest, ""));
    let Some(method) = method(word) else {
        context.error(
            format!("forward method must be gate, masq or ipip, not \"{word}\""),
            "",
        );
        return None;
    };
    let mut line = RealLine {
        host,
        last,
        port,
        method,
        weight: 1,
        weighted: false,
        lower: 0,
        upper: 0,
        settings: Settings::default(),
    };
    line.parse_rest(rest.trim(), context)?;
    Some(line)
}

/// Real servers that are the addresses of a name.
pub(super) fn servers(name: &str, text: &str, context: &mut Context<'_>) -> Option<RealLine> {
    let line = real(name, text, context)?;
    let dotted = line.host.trim_end_matches('.');
    let labels = dotted.split('.');
    let valid = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    let is_name = dotted.len() <= 253
        && line.host.parse::<IpAddr>().is_err()
        && labels.clone().all(valid)
        && line.last.is_none();
    if !is_name {
        context.error(
            format!("{name} = {} is no host name", line.host),
            "a name that name servers know, as in web.example.com:80 or _http._tcp.example.com; addresses stand in \
             real lines",
        );
        return None;
    }
    Some(line)
}

/// `host`, `host->host` with or without `:port`.
fn range(text: &str, context: &mut Context<'_>) -> Option<(String, Option<String>, Option<Port>)> {
    let (first, last) = match text.split_once("->") {
        Some((first, last)) => (first, Some(last)),
        None => (text, None),
    };
    let first = host(first, "real", context)?;
    let last = match last {
        Some(last) => Some(host(last, "real", context)?),
        None => None,
    };
    let port = last.as_ref().map_or(&first, |last| last).1.clone();
    Some((first.0, last.map(|(host, _)| host), port))
}

fn host(text: &str, what: &str, context: &mut Context<'_>) -> Option<(String, Option<Port>)> {
    let split = HostPort::split(text).filter(|split| {
        let bare_v6 = !split.bracketed && split.port.is_some_and(|port| port.contains(':'));
        !split.host.is_empty() && split.port != Some("") && !bare_v6
    });
    let Some(split) = split else {
        context.error(
            format!("invalid address for {what} server \"{text}\" (wrong format)"),
            "host, host:port or [IPv6 address]:port",
        );
        return None;
    };
    let port = match split.port.map(Port::read) {
        Some(None) => {
            let port = split.port.unwrap_or_default();
            context.error(
                format!("invalid port ({port}) for {what} server"),
                "0 to 65535, or a service name",
            );
            return None;
        }
        Some(port) => port,
        None => None,
    };
    Some((split.host.to_owned(), port))
}

impl RealLine {
    /// Parses the part after the method: weight, strings, thresholds, options.
    fn parse_rest(&mut self, text: &str, context: &mut Context<'_>) -> Option<()> {
        let mut rest = text;
        let digits = rest
            .find(|char: char| !char.is_ascii_digit())
            .unwrap_or(rest.len());
        if digits > 0 {
            self.weight = self.number("the weight", &rest[..digits], context)?;
            self.weighted = true;
            rest = &rest[digits..];
            if !rest.is_empty() && !rest.starts_with([' ', '\t', '"', ',']) {
                return Self::invalid(rest, context);
            }
        }
        rest = self.strings(rest.trim_start(), context)?;
        while !rest.is_empty() {
            let (word, after) = rest
                .split_once(|char: char| char.is_whitespace())
                .unwrap_or((rest, ""));
            if let Some(number) = word.strip_prefix("l:") {
                self.lower = self.number("the lower threshold", number, context)?;
            } else if let Some(number) = word.strip_prefix("u:") {
                self.upper = self.number("the upper threshold", number, context)?;
            } else if word.contains('=') {
                return check_line::options(rest, Scope::REAL, &mut self.settings, context)
                    .then_some(());
            } else {
                return Self::invalid(rest, context);
            }
            rest = after.trim_start();
        }
        Some(())
    }

    /// `"request", "receive"`, and what follows.
    fn strings<'a>(&mut self, text: &'a str, context: &mut Context<'_>) -> Option<&'a str> {
        let mut rest = text;
        for (key, name) in [(Key::Request, "request"), (Key::Receive, "receive")] {
            let trimmed = rest.trim_start_matches([' ', '\t', ',']);
            let Some(begin) = trimmed.strip_prefix('"') else {
                break;
            };
            let Some((string, after)) = begin.split_once('"') else {
                Self::invalid(trimmed, context);
                return None;
            };
            rest = after;
            if !string.is_empty() {
                let keyword = find(name)?;
                let value = value(keyword, &format!("\"{string}\""), context)?;
                self.settings.push(key, context.line, value);
            }
        }
        Some(rest.trim_start())
    }

    fn number(&self, what: &str, text: &str, context: &mut Context<'_>) -> Option<u32> {
        let number = text
            .parse()
            .ok()
            .filter(|number| i32::try_from(*number).is_ok());
        if number.is_none() {
            context.error(
                format!("{what} of {} is \"{text}\"", self.host),
                "a number from 0 to 2147483647",
            );
        }
        number
    }

    fn invalid(around: &str, context: &mut Context<'_>) -> Option<()> {
        let error = Diagnostic::error(
            context.line,
            format!("invalid real server line, around \"{around}\""),
        );
        context.diagnostics.push(error.expected(
            "after the method: weight, \"request\", \"receive\", l:NUMBER, u:NUMBER, options keyword=value",
        ));
        None
    }
}

/// Servers with commas between them. Nothing at all means that there is none.
pub(super) fn fallbacks(
    name: &str,
    text: &str,
    v6: bool,
    context: &mut Context<'_>,
) -> Option<Vec<FallbackLine>> {
    let text = unquoted(text).trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let line = |text: &str, context: &mut Context<'_>| {
        let mut words = text.split_whitespace();
        let address = words.next().unwrap_or_default();
        let (host, port) = host(address, "fallback", context)?;
        if v6 != address.starts_with('[') && host.parse::<IpAddr>().is_ok() {
            let right = if v6 {
                "[IPv6 address]:port"
            } else {
                "an IPv4 address"
            };
            context.error(
                format!("invalid address for fallback server \"{address}\""),
                right,
            );
            return None;
        }
        let method = match words.next() {
            None => Some(Method::Direct),
            Some(word) => method(word),
        };
        if let (Some(method), None) = (method, words.next()) {
            return Some(FallbackLine { host, port, method });
        }
        context.error(
            format!("forward method of {name} must be gate, masq or ipip, in \"{text}\""),
            "",
        );
        None
    };
    // All of them are read, so that all errors are reported.
    let lines: Vec<_> = text
        .split(',')
        .map(|text| line(text.trim(), context))
        .collect();
    lines.into_iter().collect()
}
