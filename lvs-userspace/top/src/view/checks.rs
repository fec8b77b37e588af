//! Health checks of real servers.

use lvs_api::health::ServerHealth;
use lvs_api::rows::{ServerRow, ServiceRow};

use super::{last_check, server_cell, server_row, service_cell, state_cell};
use crate::table::{Cell, Column, Row};
use crate::text::Text;

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Server", 21),
    Column::word("State", 9),
    Column::number("For", 7),
    Column::number("ms", 5),
    Column::number("Passed", 6),
    Column::number("Failed", 6),
    Column::number("Downs", 5),
    Column::text("Last check", 13),
    Column::text("Service", 0),
];

/// By state, what is wrong first.
pub(super) const SORT: usize = 1;

/// Those that are checked, and those that nobody checks although they are in the tables.
pub(super) fn rows(services: &[ServiceRow<'_>]) -> Vec<Row> {
    super::servers(services)
        .map(|(service, server)| row(service, server))
        .collect()
}

fn row(service: &ServiceRow<'_>, server: &ServerRow<'_>) -> Row {
    let mut cells = vec![server_cell(server), state_cell(server)];
    cells.extend(server.health.map_or([const { Cell::Nothing }; 5], numbers));
    let sentence = server.health.map_or("nobody checks it", last_check);
    cells.push(Cell::Text(Text::new(sentence)));
    cells.push(service_cell(service));
    server_row(service, server, cells)
}

fn numbers(health: &ServerHealth) -> [Cell; 5] {
    [
        Cell::Age(health.age),
        Cell::Tenths(health.took_us / 100),
        Cell::Number(health.checks_passed),
        Cell::Number(health.checks_failed),
        Cell::Number(health.times_down),
    ]
}
