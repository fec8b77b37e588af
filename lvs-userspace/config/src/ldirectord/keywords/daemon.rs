//! Keywords of the daemon.

use super::keyword::{Key, Keyword, Kind, Scope};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        key: Key::Autoreload,
        name: "autoreload",
        scope: Scope::GLOBAL,
        kind: Kind::Flag,
        default: "`no`",
        example: "autoreload = yes",
        text: "Read the file again when it, or one that it names by `execute`, has changed on disk.",
    },
    Keyword {
        key: Key::Callback,
        name: "callback",
        scope: Scope::GLOBAL,
        kind: Kind::QuotedOrEmpty,
        default: "none",
        example: "callback = \"/usr/local/sbin/copy-to-peer\"",
        text: "Command that is run with the file's path when the file has changed on disk, also without \
               `autoreload` and if the new file is wrong.",
    },
    Keyword {
        key: Key::EventCommand,
        name: "eventcommand",
        scope: Scope::GLOBAL,
        kind: Kind::Text,
        default: "none",
        example: "eventcommand = /usr/local/sbin/tell",
        text: "Command that is run for each change of state, with one line of JSON on its standard input.",
    },
    Keyword {
        key: Key::Execute,
        name: "execute",
        scope: Scope::GLOBAL,
        kind: Kind::Text,
        default: "none",
        example: "execute = other.cf",
        text: "Another file, for which an instance is started, stopped and reloaded together with this one. \
               May be given several times.",
    },
    Keyword {
        key: Key::LogFile,
        name: "logfile",
        scope: Scope::GLOBAL,
        kind: Kind::QuotedOrEmpty,
        default: "`/var/log/ldirectord.log`",
        example: "logfile = \"local0\"",
        text: "Where is logged: a file if it begins with `/`, else a facility of syslog.",
    },
    Keyword {
        key: Key::Supervised,
        name: "supervised",
        scope: Scope::GLOBAL,
        kind: Kind::BareFlag,
        default: "`no`",
        example: "supervised = yes",
        text: "Stay in the foreground, write no pid file, and log to the standard output.",
    },
];
