//! Values of every kind, read as ldirectord reads them wherever it would.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use lvs_api::filter::{PrefixFile, Source};
use lvs_api::snat::{GRAMMAR, Snat};
use lvs_health::model::Phases;
use lvs_health::pattern::Pattern;

use super::diagnostic::Diagnostic;
use super::keywords::{Keyword, Kind};
use super::settings::{CheckType, Value, WeightBy};
use crate::prefixes;

/// Longest time that is accepted: 31 days, as IPVS.
const LONGEST: Duration = Duration::from_hours(31 * 24);

/// The line of a value, the diagnostics, and the patterns of the file.
pub(super) struct Context<'a> {
    pub(super) line: usize,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
    pub(super) patterns: &'a mut Patterns,
}

/// Patterns of a file: compiling is slow, and most virtual services have the same.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<(String, bool), Result<Pattern, String>>);

impl Patterns {
    fn compile(&mut self, expression: &str, negative: bool) -> Result<Pattern, String> {
        let known = self.0.entry((expression.to_owned(), negative));
        let compiled = known.or_insert_with(|| {
            Pattern::compile(expression, negative).map_err(|error| error.to_string())
        });
        compiled.clone()
    }
}

impl Context<'_> {
    pub(super) fn error(&mut self, problem: impl Into<String>, expected: &str) {
        let error = Diagnostic::error(self.line, problem);
        self.diagnostics.push(if expected.is_empty() {
            error
        } else {
            error.expected(expected)
        });
    }

    fn warning(&mut self, problem: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::warning(self.line, problem));
    }
}

/// Parses the value of a keyword that may be an option; `None`: it is wrong, which is reported.
pub(super) fn value(keyword: &Keyword, text: &str, context: &mut Context<'_>) -> Option<Value> {
    let name = keyword.name;
    match keyword.kind {
        Kind::Flag | Kind::BareFlag => flag(name, text, context).map(Value::Flag),
        Kind::Number { least, most } => {
            number(name, unquoted(text), least, most, context).map(Value::Number)
        }
        Kind::Time { zero } => time(name, unquoted(text), zero, context).map(Value::Time),
        Kind::Word(words) => {
            word(name, unquoted(text), words, context).map(|word| Value::Text(word.to_owned()))
        }
        Kind::Letters => letters(name, unquoted(text), context),
        Kind::Text => plain(name, text, context),
        Kind::Literal => Some(Value::Text(text.to_owned())),
        Kind::Quoted => match quoted(name, text, context)? {
            "" => {
                context.error(format!("{name} is empty"), "a text in double quotes");
                None
            }
            text => Some(Value::Text(text.to_owned())),
        },
        Kind::QuotedOrEmpty => quoted(name, text, context).map(|text| Value::Text(text.to_owned())),
        Kind::Pattern => pattern(name, text, false, context),
        Kind::NegativePattern => pattern(name, text, true, context),
        Kind::Address => {
            let address = unquoted(text).trim_matches(['[', ']']).parse();
            if address.is_err() {
                context.error(format!("{name} is \"{text}\""), "an IP address");
            }
            address.ok().map(Value::Address)
        }
        Kind::Netmask => Some(Value::Text(unquoted(text).to_owned())),
        Kind::CheckType => check_type(name, unquoted(text), context).map(Value::CheckType),
        Kind::Status => status(name, unquoted(text), context).map(Value::Status),
        Kind::WeightBy => weight_by(name, unquoted(text), context).map(Value::WeightBy),
        Kind::Snat => snat(name, unquoted(text), context),
        Kind::Phases => phases(name, unquoted(text), context).map(Value::Phases),
        Kind::Mailboxes => mailboxes(name, text, context).map(Value::Mailboxes),
        Kind::Prefixes => sources(name, unquoted(text), context).map(Value::Sources),
        Kind::NameServer => name_server(name, unquoted(text), context).map(Value::NameServer),
        Kind::Fallback
        | Kind::Fallback6
        | Kind::Real
        | Kind::Servers
        | Kind::Check
        | Kind::Virtual => {
            unreachable!("no option has a line of its own for a value")
        }
    }
}

/// An address with or without a port.
fn name_server(name: &str, text: &str, context: &mut Context<'_>) -> Option<SocketAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let server = address.map(|address| SocketAddr::new(address, 53));
    let server = server.ok().or_else(|| text.parse().ok());
    if server.is_none() {
        let expected =
            "the address of a name server, as in 192.0.2.53, 127.0.0.1:8600 or [2001:db8::53]:53";
        context.error(format!("{name} is \"{text}\""), expected);
    }
    server
}

/// Without a pair of quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

fn flag(name: &str, text: &str, context: &mut Context<'_>) -> Option<bool> {
    match unquoted(text) {
        "yes" => Some(true),
        "no" => Some(false),
        _ => {
            // The words of ldirectord, which people search for.
            context.error(format!("{name} must be 'yes' or 'no', not \"{text}\""), "");
            None
        }
    }
}

/// The first run of digits counts, as with ldirectord; but the characters around it are reported.
fn number(name: &str, text: &str, least: u32, most: u32, context: &mut Context<'_>) -> Option<u32> {
    let expected = format!("a number from {least} to {most}");
    let digits = first_digits(text);
    let Ok(number) = digits.parse::<u32>() else {
        context.error(format!("invalid {name} \"{text}\""), &expected);
        return None;
    };
    if !(least..=most).contains(&number) {
        context.error(format!("{name} is {digits}"), &expected);
        return None;
    }
    if digits != text {
        context.warning(format!(
            "{name} is \"{text}\", of which only {number} counts"
        ));
    }
    Some(number)
}

fn first_digits(text: &str) -> &str {
    let digit = |char: char| char.is_ascii_digit();
    let begin = &text[text.find(digit).unwrap_or(text.len())..];
    &begin[..begin.find(|char| !digit(char)).unwrap_or(begin.len())]
}

/// Seconds, with a fraction if wanted; or with one of the units ms, s, m, h.
fn time(name: &str, text: &str, zero: bool, context: &mut Context<'_>) -> Option<Duration> {
    let expected = if zero {
        "a time of 0 or more: seconds, or with a unit: 500ms, 2s, 10m, 1h"
    } else {
        "a time above 0: seconds, or with a unit: 500ms, 2s, 10m, 1h"
    };
    let time = exact_time(text).or_else(|| {
        let digits = first_digits(text);
        let time = exact_time(digits)?;
        context.warning(format!(
            "{name} is \"{text}\", of which only {digits} counts, as seconds"
        ));
        Some(time)
    });
    if let Some(time) = time.filter(|time| looks_like_milliseconds(name, text, *time)) {
        context.warning(format!(
            "{name} = {text} are {} seconds; milliseconds are written {text}ms",
            time.as_secs()
        ));
    }
    match time {
        Some(time) if time > LONGEST => {
            context.error(format!("{name} is {text}"), "31 days at most");
            None
        }
        Some(time) if zero || !time.is_zero() => Some(time),
        _ => {
            context.error(format!("invalid {name} \"{text}\""), expected);
            None
        }
    }
}

/// A bare number where so many seconds make no sense, and HAProxy takes it for milliseconds. The words of ldirectord
/// may have long times.
fn looks_like_milliseconds(name: &str, text: &str, time: Duration) -> bool {
    let least = match name {
        "interval" | "fastinterval" | "downinterval" | "agentinterval" | "timeoutconnect"
        | "timeoutresponse" => 100,
        "checktimeout" | "negotiatetimeout" => 500,
        _ => return false,
    };
    text.bytes().all(|byte| byte.is_ascii_digit()) && time >= Duration::from_secs(least)
}

fn exact_time(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = match text[number.len()..].trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    let (whole, fraction) = match number.trim_end().split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (number.trim_end(), ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse::<u64>().ok()?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_millis(whole) + Duration::from_micros(micros * unit / 1000))
}

/// Words are as they are written in the table; those in capitals may have small letters.
fn word(
    name: &str,
    text: &str,
    words: &[&'static str],
    context: &mut Context<'_>,
) -> Option<&'static str> {
    let shouted = text.to_ascii_uppercase();
    let found = words
        .iter()
        .find(|word| **word == text || **word == shouted);
    if found.is_none() {
        let list = words.join(", ");
        context.error(format!("{name} is \"{text}\""), &format!("one of {list}"));
    }
    found.copied()
}

fn letters(name: &str, text: &str, context: &mut Context<'_>) -> Option<Value> {
    let end = text
        .find(|char: char| !char.is_ascii_lowercase())
        .unwrap_or(text.len());
    let (letters, rest) = text.split_at(end);
    if letters.is_empty() {
        context.error(
            format!("invalid {name} \"{text}\""),
            "lower-case letters only",
        );
        return None;
    }
    if !rest.is_empty() {
        context.warning(format!(
            "{name} is \"{text}\", of which only \"{letters}\" counts"
        ));
    }
    Some(Value::Text(letters.to_owned()))
}

fn plain(name: &str, text: &str, context: &mut Context<'_>) -> Option<Value> {
    let text = unquoted(text);
    // An empty name of a web site is the server's address, as ever.
    if text.is_empty() && name != "virtualhost" && name != "execute" {
        context.error(format!("{name} is empty"), "a text");
        return None;
    }
    Some(Value::Text(text.to_owned()))
}

/// The text between the first and the last double quote.
fn quoted<'a>(name: &str, text: &'a str, context: &mut Context<'_>) -> Option<&'a str> {
    let inner = text
        .strip_prefix('"')
        .and_then(|inner| inner.rsplit_once('"'));
    let Some((inner, rest)) = inner else {
        context.error(
            format!("the value of {name} is not in double quotes"),
            &format!("{name} = \"…\""),
        );
        return None;
    };
    if !rest.trim().is_empty() {
        let rest = rest.trim();
        context.warning(format!("\"{rest}\" after the value of {name} is ignored"));
    }
    Some(inner)
}

fn pattern(name: &str, text: &str, negative: bool, context: &mut Context<'_>) -> Option<Value> {
    let expression = quoted(name, text, context)?;
    if expression.is_empty() {
        context.error(
            format!("{name} is empty"),
            "a regular expression in double quotes",
        );
        return None;
    }
    match context.patterns.compile(expression, negative) {
        Ok(pattern) => Some(Value::Pattern(pattern)),
        Err(error) => {
            context.error(
                format!("{name} is no regular expression: {error}"),
                "a regular expression as Perl has them",
            );
            None
        }
    }
}

fn check_type(name: &str, text: &str, context: &mut Context<'_>) -> Option<CheckType> {
    Some(match text {
        "connect" => CheckType::Connect,
        "negotiate" => CheckType::Negotiate,
        "ping" => CheckType::Ping,
        "external" => CheckType::External { perl: false },
        "external-perl" => CheckType::External { perl: true },
        "on" => CheckType::On,
        "off" => CheckType::Off,
        text if text.starts_with(|char: char| char.is_ascii_digit()) => {
            match number(name, text, 0, 1_000_000, context)? {
                0 => CheckType::Negotiate,
                connects => CheckType::Combined(connects),
            }
        }
        text => {
            context.error(
                format!("{name} is \"{text}\""),
                "connect, negotiate, ping, external, external-perl, on, off or a number",
            );
            return None;
        }
    })
}

fn status(name: &str, text: &str, context: &mut Context<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    let code = |text: &str| {
        let code = text.trim().parse().ok()?;
        (100..=599).contains(&code).then_some(code)
    };
    let range = |text: &str| match text.split_once('-') {
        Some((first, last)) => Some(code(first)?..=code(last)?),
        None => Some(code(text)?..=code(text)?),
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    let ranges = ranges.filter(|ranges| ranges.iter().all(|range| !range.is_empty()));
    if ranges.is_none() {
        context.error(
            format!("{name} is \"{text}\""),
            "status codes from 100 to 599, as in 200-299, 304",
        );
    }
    ranges
}

fn weight_by(name: &str, text: &str, context: &mut Context<'_>) -> Option<WeightBy> {
    let by = match text {
        "configured" => Some(WeightBy::Configured),
        "script" => Some(WeightBy::Script),
        "time" => Some(WeightBy::Time),
        text => text
            .strip_prefix("agent:")
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0)
            .map(WeightBy::Agent),
    };
    if by.is_none() {
        context.error(
            format!("{name} is \"{text}\""),
            "configured, script, agent:PORT or time",
        );
    }
    by
}

fn snat(name: &str, text: &str, context: &mut Context<'_>) -> Option<Value> {
    if text == "no" {
        return Some(Value::Snat(None));
    }
    match text.parse::<Snat>() {
        Ok(snat) => Some(Value::Snat(Some(snat))),
        Err(why) => {
            context.error(format!("{name} is {why}"), &format!("no, {GRAMMAR}"));
            None
        }
    }
}

fn phases(name: &str, text: &str, context: &mut Context<'_>) -> Option<Phases> {
    let none = Phases {
        starting: false,
        running: false,
        stopping: false,
        reloading: false,
    };
    let words: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    let mut phases = none;
    for word in &words {
        match *word {
            "starting" => phases.starting = true,
            "running" => phases.running = true,
            "stopping" => phases.stopping = true,
            "reloading" => phases.reloading = true,
            "all" => phases = Phases::default(),
            "none" if words.len() == 1 => {}
            "none" => {
                context.error(format!("{name} has \"none\" and more"), "none alone");
                return None;
            }
            word => {
                context.error(
                    format!("{name} has \"{word}\""),
                    "starting, running, stopping, reloading, all or none",
                );
                return None;
            }
        }
    }
    Some(phases)
}

/// Prefixes and files, which are read here.
fn sources(name: &str, text: &str, context: &mut Context<'_>) -> Option<Vec<Source>> {
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let sources: Vec<_> = words.map(|word| source(name, word, context)).collect();
    if sources.is_empty() {
        context.error(
            format!("{name} names nobody"),
            "prefixes, or a file of them",
        );
    }
    let sources: Option<Vec<_>> = sources.into_iter().collect();
    sources.filter(|sources| !sources.is_empty())
}

fn source(name: &str, word: &str, context: &mut Context<'_>) -> Option<Source> {
    if !word.starts_with('/') {
        return match word.parse() {
            Ok(prefix) => Some(Source::Prefix(prefix)),
            Err(error) => {
                context.error(
                    format!("{name}: {error}"),
                    "or the path of a file, from / on",
                );
                None
            }
        };
    }
    match prefixes::read(word.as_ref()) {
        Ok(prefixes) => Some(Source::File(PrefixFile {
            file: word.into(),
            prefixes,
        })),
        Err(error) => {
            context.error(format!("{name}: {error}"), "");
            None
        }
    }
}

fn mailboxes(name: &str, text: &str, context: &mut Context<'_>) -> Option<Vec<String>> {
    let addresses: Vec<_> = text
        .trim_matches('"')
        .split(',')
        .map(|address| address.trim().to_owned())
        .filter(|address| !address.is_empty())
        .collect();
    if addresses.is_empty() {
        context.error(format!("{name} names nobody"), "a mail address");
        return None;
    }
    Some(addresses)
}
