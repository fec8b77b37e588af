//! The keywords as Markdown, for the documents.

use std::fmt::Write as _;

use super::keywords::{GROUPS, Keyword, Kind};

/// Every keyword with its scopes, value, default, example and meaning.
pub fn reference() -> String {
    let mut page = String::new();
    for group in GROUPS {
        let _ = writeln!(page, "### {}\n", group.title);
        for keyword in group.keywords {
            entry(&mut page, keyword);
        }
    }
    page
}

fn entry(page: &mut String, keyword: &Keyword) {
    let Keyword {
        name,
        scope,
        kind,
        default,
        example,
        text,
        ..
    } = keyword;
    // Writing to a string does not fail.
    let _ = writeln!(page, "#### `{name}`\n");
    let _ = writeln!(page, "{text}\n");
    let _ = writeln!(page, "* Value: {}", kind.text());
    let _ = writeln!(page, "* Default: {default}");
    let _ = writeln!(page, "* Where: {}", scope.places());
    let _ = writeln!(page, "* Example: `{example}`\n");
}

impl Kind {
    /// The possible values, for people.
    fn text(self) -> String {
        match self {
            Self::Flag => "`yes` or `no`".into(),
            Self::BareFlag => "`yes` or `no`; the keyword alone means `yes`".into(),
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Time { zero: true } => "a time, or 0".into(),
            Self::Time { zero: false } => "a time above 0".into(),
            Self::Word(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Letters => "lower-case letters".into(),
            Self::Text => "a text, in double quotes or not".into(),
            Self::Literal => "a text; quotes are part of it".into(),
            Self::Quoted | Self::QuotedOrEmpty => "a text in double quotes".into(),
            Self::Pattern | Self::NegativePattern => {
                "a regular expression in double quotes".into()
            }
            Self::Address => "an IP address".into(),
            Self::Netmask => "a mask in dotted quad notation; for IPv6 the length of a prefix".into(),
            Self::CheckType => {
                "`connect`, `negotiate`, `ping`, `external`, `external-perl`, `on`, `off` or a number".into()
            }
            Self::Status => "codes and ranges of them, with commas".into(),
            Self::WeightBy => "`configured`, `script`, `agent:PORT` or `time`".into(),
            Self::Snat => "`no`, `auto[:PORT-PORT]` or `ADDRESS[-ADDRESS][:PORT-PORT]` (IPv6 with ports: \
                           `[ADDRESS[-ADDRESS]]:PORT-PORT`)"
                .into(),
            Self::Phases => "a list with commas".into(),
            Self::Mailboxes => "mail addresses with commas".into(),
            Self::Prefixes => "a list with commas: addresses, prefixes such as `192.0.2.0/24`, and paths of files that \
                               have one of these on each line (`#` begins a comment)"
                .into(),
            Self::Fallback => "a list with commas: `host[:port] [gate|masq|ipip]`".into(),
            Self::Fallback6 => "a list with commas: `[address][:port] [gate|masq|ipip]`".into(),
            Self::Real => {
                "`host[->host][:port] gate|masq|ipip [weight] [\"request\"[, \"receive\"]] [l:NUMBER] \
                 [u:NUMBER] [keyword=value …]`"
                    .into()
            }
            Self::Servers => {
                "`name[:port] gate|masq|ipip [weight] [\"request\"[, \"receive\"]] [l:NUMBER] [u:NUMBER] \
                 [keyword=value …]`"
                    .into()
            }
            Self::NameServer => "`address[:port]`, `[IPv6 address]:port`".into(),
            Self::Check => "a value of `checktype`, then `keyword=value …`".into(),
            Self::Virtual => "`host:port`, `host:service` or the number of a firewall mark".into(),
        }
    }
}
