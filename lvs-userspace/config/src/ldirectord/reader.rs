//! From lines to sections: keywords, their places and their values.

use lvs_api::model::Family;

use super::address::{HostPort, Port};
use super::diagnostic::Diagnostic;
use super::foreign;
use super::keywords::{self, Key, Keyword, Kind, Scope};
use super::lines::{LONGEST_LINE, Line, lines};
use super::settings::{Settings, Value};
use super::values::{Context, Patterns, value};
use super::{check_line, server_line};

/// A file as it is written.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) globals: Settings,
    pub(super) sections: Vec<Section>,
    pub(super) diagnostics: Vec<Diagnostic>,
    patterns: Patterns,
}

/// A virtual service as it is written.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) line: usize,
    pub(super) family: Family,
    pub(super) target: Target,
    pub(super) settings: Settings,
}

/// The identity of a virtual service, before names are looked up.
#[derive(Debug)]
pub(super) enum Target {
    Mark(u32),
    Address {
        host: String,
        port: Port,
    },
    /// It is wrong; the lines below it are read all the same, so that all errors are reported.
    Wrong,
}

/// Words of old files and what they are today.
const OLD_SPELLINGS: &[(&str, &str)] = &[
    ("timeout", "checktimeout"),
    ("connecttimeout", "checktimeout"),
];

/// Reads a text.
pub(super) fn read(text: &str) -> File {
    let mut file = File::default();
    for line in lines(text) {
        if line.keyword.len() + line.value.map_or(0, str::len) > LONGEST_LINE {
            let error = Diagnostic::error(line.number, "the line is too long");
            let expected = format!("{LONGEST_LINE} bytes at most");
            file.diagnostics.push(error.expected(expected));
        } else if line.indented {
            file.indented(line);
        } else {
            file.global(line);
        }
    }
    file
}

impl File {
    fn global(&mut self, line: Line<'_>) {
        let Some(keyword) = self.keyword(line, Scope::GLOBAL) else {
            return;
        };
        if keyword.kind == Kind::Virtual {
            let context = &mut Context {
                line: line.number,
                diagnostics: &mut self.diagnostics,
                patterns: &mut self.patterns,
            };
            let v6 = keyword.key == Key::Virtual6;
            let target = target(v6, line.value.unwrap_or_default(), context);
            self.sections.push(Section {
                line: line.number,
                family: if v6 { Family::Ipv6 } else { Family::Ipv4 },
                target: target.unwrap_or(Target::Wrong),
                settings: Settings::default(),
            });
            return;
        }
        let read = Self::value(keyword, line, &mut self.diagnostics, &mut self.patterns);
        if let Some(value) = read {
            self.globals.push(keyword.key, line.number, value);
        }
    }

    fn indented(&mut self, line: Line<'_>) {
        let Some(keyword) = self.keyword(line, Scope::VIRTUAL) else {
            return;
        };
        let Some(section) = self.sections.last_mut() else {
            let error = Diagnostic::error(line.number, format!("{} is indented", line.keyword));
            self.diagnostics
                .push(error.expected("a virtual service above that it belongs to"));
            return;
        };
        let other = match (keyword.key, section.family) {
            (Key::Real, Family::Ipv6) => Some("real6"),
            (Key::Real6, Family::Ipv4) => Some("real"),
            (Key::Fallback, Family::Ipv6) => Some("fallback6"),
            (Key::Fallback6, Family::Ipv4) => Some("fallback"),
            _ => None,
        };
        if let Some(other) = other {
            let problem = format!("cannot specify \"{}\" here", keyword.name);
            let error = Diagnostic::error(line.number, problem);
            self.diagnostics
                .push(error.expected(format!("\"{other}\"")));
            return;
        }
        let value = Self::value(keyword, line, &mut self.diagnostics, &mut self.patterns);
        if let Some(value) = value {
            section.settings.push(keyword.key, line.number, value);
        }
    }

    fn value(
        keyword: &Keyword,
        line: Line<'_>,
        diagnostics: &mut Vec<Diagnostic>,
        patterns: &mut Patterns,
    ) -> Option<Value> {
        match line.value {
            Some(text) => {
                let context = &mut Context {
                    line: line.number,
                    diagnostics,
                    patterns,
                };
                line_value(keyword, text, context)
            }
            None if keyword.kind == Kind::BareFlag => {
                let problem = format!("{} without a value means yes", keyword.name);
                let hint = format!("write {} = yes", keyword.name);
                diagnostics.push(Diagnostic::warning(line.number, problem).hint(hint));
                Some(Value::Flag(true))
            }
            None => {
                let error =
                    Diagnostic::error(line.number, format!("{} has no value", keyword.name));
                diagnostics.push(error.expected(format!("{} = …", keyword.name)));
                None
            }
        }
    }

    /// The keyword of a line, if it may stand there.
    fn keyword(&mut self, line: Line<'_>, scope: Scope) -> Option<&'static Keyword> {
        let mut name = line.keyword;
        if let Some((_, new)) = OLD_SPELLINGS.iter().find(|(old, _)| *old == name) {
            let problem = format!("{name} is an old word");
            let hint = format!("the word is {new} now, and it is taken for that");
            let warning = Diagnostic::warning(line.number, problem).hint(hint);
            self.diagnostics.push(warning.harmless());
            name = new;
        }
        let Some(keyword) = keywords::find(name) else {
            // It may be anything, such as bytes of a file that is none.
            let problem = format!("unknown command \"{}\"", name.escape_debug());
            let mut error = Diagnostic::error(line.number, problem);
            if let Some(here) = foreign::keyword(name) {
                error = error.hint(here);
            } else if let Some(near) = nearest(name) {
                error = error.hint(format!("is {near} meant?"));
            }
            self.diagnostics.push(error);
            return None;
        };
        if keyword.scope.has(scope) {
            return Some(keyword);
        }
        let problem = if scope == Scope::GLOBAL {
            format!("{name} at the beginning of a line")
        } else {
            format!("{name} indented, below a virtual service")
        };
        let expected = keyword.scope.places();
        self.diagnostics
            .push(Diagnostic::error(line.number, problem).expected(expected));
        None
    }
}

/// A keyword that differs from this word in little.
fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    keywords::all()
        .map(|keyword| {
            (
                strsim::damerau_levenshtein(&lower, keyword.name),
                keyword.name,
            )
        })
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, name)| name)
}

const VIRTUAL: &str = "host:port, or the number of a firewall mark";
const VIRTUAL6: &str = "[IPv6 address]:port or host:port, or the number of a firewall mark";

fn target(v6: bool, text: &str, context: &mut Context<'_>) -> Option<Target> {
    let expected = if v6 { VIRTUAL6 } else { VIRTUAL };
    let (word, rest) = text
        .split_once(|char: char| char.is_whitespace())
        .unwrap_or((text, ""));
    if !rest.trim().is_empty() {
        let problem = format!("\"{}\" after the virtual service is ignored", rest.trim());
        context
            .diagnostics
            .push(Diagnostic::warning(context.line, problem));
    }
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return match word.parse() {
            Ok(mark) if mark > 0 => Some(Target::Mark(mark)),
            _ => {
                let problem = format!("the firewall mark is {word}");
                context.error(problem, "a number from 1 to 4294967295");
                None
            }
        };
    }
    let split = HostPort::split(word).filter(|split| !split.host.is_empty());
    let error = match split {
        Some(HostPort {
            bracketed: true, ..
        }) if !v6 => Diagnostic::error(context.line, "cannot specify an IPv6 address here")
            .expected("virtual6"),
        Some(HostPort {
            host,
            port: Some(port),
            ..
        }) if !port.is_empty() && !port.contains(':') => match Port::read(port) {
            Some(port) => {
                return Some(Target::Address {
                    host: host.to_owned(),
                    port,
                });
            }
            None => Diagnostic::error(
                context.line,
                format!("invalid port {port} of the virtual service"),
            )
            .expected("0 to 65535, or a service name"),
        },
        // ldirectord takes 10.9.9.9 for the firewall mark 10.
        Some(HostPort {
            host, port: None, ..
        }) => Diagnostic::error(
            context.line,
            format!("the virtual service {host} has no port"),
        )
        .expected(expected)
        .hint(format!("as in {word}:80; port 0 stands for all ports")),
        _ => Diagnostic::error(
            context.line,
            format!("invalid address for virtual server \"{word}\""),
        )
        .expected(expected),
    };
    context.diagnostics.push(error);
    None
}

/// Parses the value of a keyword on a line of its own.
fn line_value(keyword: &Keyword, text: &str, context: &mut Context<'_>) -> Option<Value> {
    let name = keyword.name;
    match keyword.kind {
        Kind::Fallback => server_line::fallbacks(name, text, false, context).map(Value::Fallbacks),
        Kind::Fallback6 => server_line::fallbacks(name, text, true, context).map(Value::Fallbacks),
        Kind::Real => {
            server_line::real(name, text, context).map(|real| Value::Real(Box::new(real)))
        }
        Kind::Servers => {
            server_line::servers(name, text, context).map(|line| Value::Servers(Box::new(line)))
        }
        Kind::Check => check_line::check(text, context).map(Value::Check),
        _ => value(keyword, text, context),
    }
}
