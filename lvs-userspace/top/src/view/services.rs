//! Virtual services, with their real servers below them.

use std::cmp::Reverse;

use lvs_api::rows::{ServerRow, ServiceRow, Shown};

use super::{RATES, rates, server_cell, service_cell, service_text};
use crate::table::{Cell, Column, Key, Row};
use crate::text::Text;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Service", 25),
    Column::word("Up", 10),
    Column::number("Active", 7),
    RATES[0],
    RATES[1],
    RATES[2],
    RATES[3],
    RATES[4],
];

/// By packets from clients.
pub(super) const SORT: usize = 4;

pub(super) fn rows(services: &[ServiceRow<'_>]) -> Vec<Row> {
    services.iter().map(row).collect()
}

fn row(service: &ServiceRow<'_>) -> Row {
    let active = service.servers.iter().filter_map(active).sum();
    let of = service.servers.len();
    // Nobody asks those that are not checked: they count as up, as they get traffic.
    let up = service.count(Shown::Up) + service.count(Shown::Unchecked);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut cells = vec![
        service_cell(service),
        Cell::Part {
            missing: Reverse(count(of.saturating_sub(up))),
            of: count(of),
        },
        Cell::Number(active),
    ];
    cells.extend(rates(service.entry.map(|entry| &entry.rates)));
    Row {
        key: Key::Service(service.id),
        cells,
        detail: detail(service),
        below: service
            .servers
            .iter()
            .map(|server| server_row(service, server))
            .collect(),
    }
}

fn server_row(service: &ServiceRow<'_>, server: &ServerRow<'_>) -> Row {
    let mut cells = vec![
        server_cell(server),
        super::state_cell(server),
        active(server).map_or(Cell::Nothing, Cell::Number),
    ];
    cells.extend(rates(server.entry.map(|entry| &entry.rates)));
    super::server_row(service, server, cells)
}

fn active(server: &ServerRow<'_>) -> Option<u64> {
    server.entry.map(|entry| u64::from(entry.active))
}

fn detail(service: &ServiceRow<'_>) -> Text {
    let mut parts = vec![service_text(service).to_string()];
    match service.entry {
        Some(entry) => {
            parts.push(format!("scheduler {}", entry.settings.scheduler));
            if let Some(persistence) = entry.settings.persistence {
                parts.push(format!("persistent {} s", persistence.timeout));
            }
        }
        None => parts.push("not in the tables".to_owned()),
    }
    if let Some(health) = service.health {
        if health.quorum == Some(false) {
            parts.push("below its quorum".to_owned());
        }
        if health.fallback {
            parts.push("fallback in use".to_owned());
        }
        parts.extend(health.silent.iter().cloned());
    }
    Text::new(parts.join("; "))
}
