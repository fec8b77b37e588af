//! The keys, for the help page.

/// Keys and what they do.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("F1 h ?", "this help; any key leads back"),
    (
        "1 ... 6",
        "services, servers, checks, verdicts, tables, peers",
    ),
    ("Tab Right, Shift-Tab Left", "the next page, the one before"),
    (
        "Up k, Down j, PgUp, PgDn",
        "choose a row: it stays chosen while others move",
    ),
    ("Home g, End G", "the first row, the last"),
    (
        "Enter Space + -",
        "open or close a service: its real servers",
    ),
    ("F5 t", "open or close all services"),
    (
        "F4 / \\",
        "filter: rows that contain this; a|b: one of both",
    ),
    ("F6", "choose the column by which rows are sorted"),
    ("< >", "sort by the column to the left, to the right"),
    ("I", "the other way round"),
    ("Ctrl-Z", "to the shell; fg leads back"),
    ("Ctrl-L", "draw all anew"),
    ("F10 q Ctrl-C", "quit"),
];

/// The meaning of column titles.
pub(crate) const WORDS: &[&str] = &[
    "CPS, InPPS, OutPPS, InBPS, OutBPS: new connections, packets and bytes a second,",
    "averaged over some seconds as ipvsadm -L --rate has them. OutPPS is 0 by direct",
    "routing and tunnel, whose replies do not come by. M is a million.",
];
