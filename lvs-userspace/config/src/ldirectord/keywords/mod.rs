//! Every keyword of the file: parser and documents both come from this table.

mod check;
mod daemon;
mod keyword;
mod mail;
mod service;

use std::collections::HashMap;
use std::sync::LazyLock;

pub(super) use self::keyword::{Key, Keyword, Kind, Scope};

/// A heading of the page about the file, and the keywords below it.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) keywords: &'static [Keyword],
}

/// All keywords.
pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Virtual services",
        keywords: service::VIRTUAL,
    },
    Group {
        title: "Clients",
        keywords: service::CLIENTS,
    },
    Group {
        title: "Real servers",
        keywords: service::REAL,
    },
    Group {
        title: "Weights",
        keywords: service::WEIGHTS,
    },
    Group {
        title: "When no server is left",
        keywords: service::FALLBACK,
    },
    Group {
        title: "When a server dies or comes back",
        keywords: service::CHANGES,
    },
    Group {
        title: "What is checked",
        keywords: check::WHAT,
    },
    Group {
        title: "What is asked and expected",
        keywords: check::NEGOTIATION,
    },
    Group {
        title: "When is checked",
        keywords: check::RHYTHM,
    },
    Group {
        title: "Mail",
        keywords: mail::KEYWORDS,
    },
    Group {
        title: "The daemon",
        keywords: daemon::KEYWORDS,
    },
];

/// The keyword of this name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Keyword>> =
        LazyLock::new(|| all().map(|keyword| (keyword.name, keyword)).collect());
    BY_NAME.get(name).copied()
}

/// All of them, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Keyword> {
    GROUPS.iter().flat_map(|group| group.keywords)
}
