//! The pages: which columns they have, and the rows that a snapshot makes.

mod checks;
mod peers;
mod servers;
mod services;
pub(crate) mod tables;
mod verdicts;

use lvs_api::health::ServerHealth;
use lvs_api::protocol::Traffic;
use lvs_api::rows::{ServerRow, ServiceRow, Shown, rows};

use crate::options::Tab;
use crate::rate::VerdictRates;
use crate::snapshot::{Detail, Snapshot};
use crate::style::Tone;
use crate::table::{Cell, Column, Key, Row, Sort};
use crate::text::Text;

/// Columns of a page.
pub(crate) const fn columns(tab: Tab) -> &'static [Column] {
    match tab {
        Tab::Services => services::COLUMNS,
        Tab::Servers => servers::COLUMNS,
        Tab::Checks => checks::COLUMNS,
        Tab::Verdicts => verdicts::COLUMNS,
        Tab::Tables => tables::COLUMNS,
        Tab::Peers => peers::COLUMNS,
    }
}

/// The order of a page, unless another is asked for: by rate, or what is wrong first.
pub(crate) const fn sort(tab: Tab) -> Sort {
    let column = match tab {
        Tab::Services => services::SORT,
        Tab::Servers => servers::SORT,
        Tab::Checks => checks::SORT,
        Tab::Verdicts => verdicts::SORT,
        Tab::Tables => tables::SORT,
        Tab::Peers => peers::SORT,
    };
    Sort {
        column,
        inverted: false,
    }
}

/// A page: its rows, and what stands above them.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    /// One sentence about all rows.
    pub(crate) summary: String,
}

/// The page that a snapshot makes.
pub(crate) fn page(tab: Tab, snapshot: &Snapshot, rates: &VerdictRates) -> Page {
    match (&snapshot.detail, tab) {
        (Detail::Services(services, health), _) => {
            let rows = rows(services, health.as_ref());
            let summary = servers_summary(&rows);
            let rows = match tab {
                Tab::Servers => servers::rows(&rows),
                Tab::Checks => checks::rows(&rows),
                _ => services::rows(&rows),
            };
            Page { rows, summary }
        }
        (Detail::Verdicts(counts), _) => Page {
            rows: verdicts::rows(counts, rates),
            summary: "packets by verdict".to_owned(),
        },
        (Detail::Tables, _) => tables::page(&snapshot.status),
        (Detail::Peers(peers), _) => peers::page(&snapshot.role, peers),
    }
}

/// Numbers of real servers by state, what is wrong first.
fn servers_summary(rows: &[ServiceRow<'_>]) -> String {
    let states = [
        Shown::Down,
        Shown::Unknown,
        Shown::Unchecked,
        Shown::Maint,
        Shown::Drain,
        Shown::Up,
    ];
    let counts = states.into_iter().filter_map(|state| {
        let number: usize = rows.iter().map(|row| row.count(state)).sum();
        (number > 0).then(|| format!("{number} {}", state.name()))
    });
    let all = format!("{} servers", servers(rows).count());
    std::iter::once(all)
        .chain(counts)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Every real server with its virtual service.
fn servers<'a, 'b>(
    rows: &'b [ServiceRow<'a>],
) -> impl Iterator<Item = (&'b ServiceRow<'a>, &'b ServerRow<'a>)> {
    rows.iter()
        .flat_map(|service| service.servers.iter().map(move |server| (service, server)))
}

/// Columns of a traffic's rates, in ipvsadm's words.
const RATES: [Column; 5] = [
    Column::number("CPS", 6),
    Column::number("InPPS", 6),
    Column::number("OutPPS", 6),
    Column::number("InBPS", 6),
    Column::number("OutBPS", 6),
];

/// Cells of [`RATES`]; none: it is not in the tables.
fn rates(rates: Option<&Traffic>) -> [Cell; 5] {
    let Some(rates) = rates else {
        return [const { Cell::Nothing }; 5];
    };
    [
        rates.connections,
        rates.in_packets,
        rates.out_packets,
        rates.in_bytes,
        rates.out_bytes,
    ]
    .map(Cell::Number)
}

/// The text of a virtual service, with its name in the file.
fn service_text(service: &ServiceRow<'_>) -> Text {
    match service.name() {
        "" => Text::new(service.label.as_str()),
        name => Text::new(format!("{} {name}", service.label)),
    }
}

fn service_cell(service: &ServiceRow<'_>) -> Cell {
    Cell::Service(service.id, service_text(service))
}

fn server_cell(server: &ServerRow<'_>) -> Cell {
    Cell::Address(server.address, Text::new(server.name()))
}

/// The row of a real server with these cells.
fn server_row(service: &ServiceRow<'_>, server: &ServerRow<'_>, cells: Vec<Cell>) -> Row {
    Row {
        key: Key::Server(service.id, server.address),
        cells,
        detail: server_detail(service, server),
        below: Vec::new(),
    }
}

/// State of a real server, on the way to the other one `up 1/3` as HAProxy has it. What is wrong comes first.
fn state_cell(server: &ServerRow<'_>) -> Cell {
    let state = server.state();
    let towards = server.health.map_or(0, |health| health.towards);
    let (rank, tone) = match state {
        Shown::Down => (0, Tone::Bad),
        Shown::Up if towards > 0 => (1, Tone::Warning),
        Shown::Unknown => (2, Tone::Warning),
        Shown::Unchecked => (3, Tone::Plain),
        Shown::Maint => (4, Tone::Operator),
        Shown::Drain => (5, Tone::Operator),
        Shown::Up => (6, Tone::Good),
    };
    let text = match server.health {
        Some(health) if towards > 0 => format!("{} {towards}/{}", state.name(), health.needed),
        _ => state.name().to_owned(),
    };
    Cell::Ranked(rank, Text::new(text), tone)
}

/// Everything about a real server in a line.
fn server_detail(service: &ServiceRow<'_>, server: &ServerRow<'_>) -> Text {
    let mut parts = vec![format!("{} of {}", server.label, service_text(service))];
    if let Some(health) = server.health {
        if health.backup {
            parts.push("backup server".to_owned());
        }
        parts.push(last_check(health).to_owned());
    }
    match server.entry {
        Some(entry) => parts.push(format!("next hop {}", entry.next_hop)),
        None => parts.push("not in the tables".to_owned()),
    }
    Text::new(parts.join("; "))
}

/// The sentence of a server's last health check.
fn last_check(health: &ServerHealth) -> &str {
    match health.last.as_str() {
        "" => "not probed yet",
        last => last,
    }
}
