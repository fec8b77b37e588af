//! Keywords of mail.

use super::keyword::{Key, Keyword, Kind, Scope};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        key: Key::EmailAlert,
        name: "emailalert",
        scope: Scope::BOTH,
        kind: Kind::Mailboxes,
        default: "none",
        example: "emailalert = \"admin@example.com, night@example.com\"",
        text: "Who gets a mail when the state of a real server changes.",
    },
    Keyword {
        key: Key::EmailAlertFrom,
        name: "emailalertfrom",
        scope: Scope::GLOBAL,
        kind: Kind::Literal,
        default: "the user and host of the daemon",
        example: "emailalertfrom = \"Load balancer\" <lb1@example.com>",
        text: "Sender of mails.",
    },
    Keyword {
        key: Key::EmailAlertFreq,
        name: "emailalertfreq",
        scope: Scope::BOTH,
        kind: Kind::Time { zero: true },
        default: "0: none",
        example: "emailalertfreq = 3600",
        text: "Time between reminders of a server that stays down.",
    },
    Keyword {
        key: Key::EmailAlertStatus,
        name: "emailalertstatus",
        scope: Scope::BOTH,
        kind: Kind::Phases,
        default: "`all`",
        example: "emailalertstatus = running, stopping",
        text: "In which phases of the daemon mail is sent: `starting`, `running`, `stopping`, `reloading`, with \
               commas; `all`; or `none` alone.",
    },
    Keyword {
        key: Key::Smtp,
        name: "smtp",
        scope: Scope::BOTH,
        kind: Kind::Text,
        default: "the machine's own sendmail",
        example: "smtp = mail.example.com",
        text: "Server that mails are given to.",
    },
];
