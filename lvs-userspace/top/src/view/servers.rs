//! Real servers of all virtual services.

use lvs_api::rows::{ServerRow, ServiceRow};

use super::{RATES, rates, server_cell, server_row, service_cell, state_cell};
use crate::table::{Cell, Column, Row};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Server", 21),
    Column::word("State", 9),
    Column::number("Weight", 6),
    Column::number("Active", 6),
    RATES[0],
    RATES[1],
    RATES[2],
    RATES[3],
    RATES[4],
    Column::text("Service", 0),
];

/// By packets from clients.
pub(super) const SORT: usize = 5;

pub(super) fn rows(services: &[ServiceRow<'_>]) -> Vec<Row> {
    super::servers(services)
        .map(|(service, server)| row(service, server))
        .collect()
}

fn row(service: &ServiceRow<'_>, server: &ServerRow<'_>) -> Row {
    let number =
        |value: Option<u32>| value.map_or(Cell::Nothing, |value| Cell::Number(value.into()));
    let mut cells = vec![
        server_cell(server),
        state_cell(server),
        number(server.entry.map(|entry| entry.settings.weight)),
        number(server.entry.map(|entry| entry.active)),
    ];
    cells.extend(rates(server.entry.map(|entry| &entry.rates)));
    cells.push(service_cell(service));
    server_row(service, server, cells)
}
