//! Values of keywords as they were written, and the scope that holds among several.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use lvs_api::filter::Source;
use lvs_api::model::Method;
use lvs_api::snat::Snat;
use lvs_health::model::Phases;
use lvs_health::pattern::Pattern;

use super::address::Port;
use super::keywords::Key;

/// The settings of one scope: the globals, a virtual service, a `check` line, a real server.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    entries: Vec<Entry>,
}

/// One keyword with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value that was read.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Flag(bool),
    Number(u32),
    Time(Duration),
    Text(String),
    Pattern(Pattern),
    Address(IpAddr),
    CheckType(CheckType),
    Status(Vec<RangeInclusive<u16>>),
    WeightBy(WeightBy),
    Phases(Phases),
    Snat(Option<Snat>),
    Mailboxes(Vec<String>),
    Sources(Vec<Source>),
    Fallbacks(Vec<FallbackLine>),
    Real(Box<RealLine>),
    Servers(Box<RealLine>),
    NameServer(SocketAddr),
    Check(Settings),
}

/// `real = …`, before names are looked up.
#[derive(Clone, Debug)]
pub(super) struct RealLine {
    /// Address or name.
    pub(super) host: String,
    /// The end of a range.
    pub(super) last: Option<String>,
    pub(super) port: Option<Port>,
    pub(super) method: Method,
    pub(super) weight: u32,
    /// The weight is written.
    pub(super) weighted: bool,
    pub(super) lower: u32,
    pub(super) upper: u32,
    /// Its own request and receive, and options.
    pub(super) settings: Settings,
}

/// One of the servers of `fallback = …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FallbackLine {
    pub(super) host: String,
    pub(super) port: Option<Port>,
    pub(super) method: Method,
}

/// `checktype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckType {
    Connect,
    Negotiate,
    Ping,
    External { perl: bool },
    On,
    Off,
    Combined(u32),
}

/// `weightby`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeightBy {
    Configured,
    Script,
    Agent(u16),
    Time,
}

impl Settings {
    pub(super) fn push(&mut self, key: Key, line: usize, value: Value) {
        self.entries.push(Entry { key, line, value });
    }

    /// The last value of a keyword: of several, the last one holds.
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// All values of a keyword.
    pub(super) fn all(&self, key: Key) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Scopes, the innermost first.
#[derive(Clone, Copy)]
pub(super) struct Scopes<'a>(pub(super) &'a [&'a Settings]);

/// A getter for each kind of value. A keyword's kind decides which variant is stored under its key.
macro_rules! getters {
    ($($name:ident: $variant:ident -> $kind:ty;)*) => {
        $(
            pub(super) fn $name(self, key: Key) -> Option<&'a $kind> {
                match &self.get(key)?.value {
                    Value::$variant(value) => Some(value),
                    other => unreachable!("{key:?} is no {}: {other:?}", stringify!($variant)),
                }
            }
        )*
    };
}

impl<'a> Scopes<'a> {
    pub(super) fn get(self, key: Key) -> Option<&'a Entry> {
        self.0.iter().find_map(|settings| settings.get(key))
    }

    getters! {
        flag_of: Flag -> bool;
        number_of: Number -> u32;
        time_of: Time -> Duration;
        text_of: Text -> String;
        pattern: Pattern -> Pattern;
        address: Address -> IpAddr;
        check_type: CheckType -> CheckType;
        status: Status -> Vec<RangeInclusive<u16>>;
        weight_by: WeightBy -> WeightBy;
        phases: Phases -> Phases;
        snat: Snat -> Option<Snat>;
        mailboxes: Mailboxes -> Vec<String>;
        fallbacks: Fallbacks -> Vec<FallbackLine>;
    }

    pub(super) fn flag(self, key: Key) -> bool {
        self.flag_of(key).copied().unwrap_or_default()
    }

    pub(super) fn number(self, key: Key) -> Option<u32> {
        self.number_of(key).copied()
    }

    pub(super) fn time(self, key: Key) -> Option<Duration> {
        self.time_of(key).copied()
    }

    pub(super) fn text(self, key: Key) -> Option<&'a str> {
        self.text_of(key).map(String::as_str)
    }

    /// The prefixes of all lines of the innermost scope that has the keyword.
    pub(super) fn sources(self, key: Key) -> Option<Vec<Source>> {
        let scope = self.0.iter().find(|settings| settings.get(key).is_some())?;
        let lines = scope.all(key).filter_map(|entry| match &entry.value {
            Value::Sources(sources) => Some(sources),
            _ => None,
        });
        Some(lines.flatten().cloned().collect())
    }

    /// A text that is not there as an empty one.
    pub(super) fn string(self, key: Key) -> String {
        self.text(key).unwrap_or_default().to_owned()
    }

    /// The value of the innermost scope that has any of two keywords, the first before the second.
    pub(super) fn either_time(self, first: Key, second: Key) -> Option<Duration> {
        self.0.iter().find_map(|settings| {
            let scope = [*settings];
            let scope = Scopes(&scope);
            scope.time(first).or_else(|| scope.time(second))
        })
    }
}
