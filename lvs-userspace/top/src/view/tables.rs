//! Connection tables, interfaces, and what keeps packets from leaving.

use lvs_api::model::Family;
use lvs_api::protocol::{Status, Table};
use lvs_api::rows::service_label;

use super::Page;
use crate::number::percent;
use crate::style::Tone;
use crate::table::{Cell, Column, Key, Row};
use crate::text::Text;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("What", 16),
    Column::text("Name", 18),
    Column::text("State", 12),
    Column::number("Number", 8),
    Column::text("Remark", 22),
];

/// By kind.
pub(super) const SORT: usize = 0;

/// Percent of its entries from which on a table is shown as filling.
pub(crate) const FILLING: u64 = 80;

pub(super) fn page(status: &Status) -> Page {
    let tables = status.tables.iter().map(table);
    let interfaces = status.interfaces.iter().map(|interface| {
        let tone = if interface.mode == "none" {
            Tone::Bad
        } else {
            Tone::Good
        };
        let state = Cell::Ranked(0, Text::new(interface.mode.as_str()), tone);
        row(1, &interface.name, state, Cell::Nothing, &interface.why)
    });
    let lost = status.lost.iter().map(|lost| {
        let remark = [lost.error.as_str(), lost.remedy.as_str()].join("; ");
        let state = Cell::Ranked(0, Text::new("not sent"), Tone::Bad);
        let number = Cell::Number(lost.frames);
        row(
            2,
            &lost.interface,
            state,
            number,
            remark.trim_end_matches("; "),
        )
    });
    let problem = |kind, address: &std::net::IpAddr, state, remark| {
        let state = Cell::Ranked(0, Text::new(state), Tone::Bad);
        row(kind, &address.to_string(), state, Cell::Nothing, remark)
    };
    let unresolved = status.unresolved.iter().map(|address| {
        problem(
            3,
            address,
            "unresolved",
            "a real server without a resolved next hop",
        )
    });
    let sources = status.missing_sources.iter().map(|address| {
        problem(
            4,
            address,
            "missing",
            "replies to this address do not come back",
        )
    });
    Page {
        rows: tables
            .chain(interfaces)
            .chain(lost)
            .chain(unresolved)
            .chain(sources)
            .collect(),
        summary: format!("layout of the tables {}", status.abi),
    }
}

fn table(table: &Table) -> Row {
    let percent = percent(table.entries, table.capacity);
    let tone = if percent >= FILLING {
        Tone::Bad
    } else {
        Tone::Plain
    };
    let over = table.over_share.as_ref().map(service_label);
    let over =
        over.map(|service| format!("; {service} holds more than its share and gets no more"));
    let remark = format!("of {} entries{}", table.capacity, over.unwrap_or_default());
    let state = Cell::Ranked(0, Text::new(format!("{percent} % full")), tone);
    let number = Cell::Number(table.entries);
    row(0, family(table.family), state, number, &remark)
}

/// Its name.
pub(crate) const fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// Kinds of rows, in their order.
const KINDS: [&str; 5] = [
    "connection table",
    "interface",
    "lost frames",
    "next hop",
    "source address",
];

fn row(kind: u8, name: &str, state: Cell, number: Cell, remark: &str) -> Row {
    let kind_text = KINDS[usize::from(kind)];
    Row {
        key: Key::Other(kind_text, format!("{name} {remark}")),
        detail: Text::new(format!("{kind_text} {name}: {}; {remark}", state.exact())),
        cells: vec![
            Cell::Ranked(kind, Text::new(kind_text), Tone::Plain),
            Cell::Text(Text::new(name)),
            state,
            number,
            Cell::Text(Text::new(remark)),
        ],
        below: Vec::new(),
    }
}
