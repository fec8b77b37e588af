//! The role, virtual addresses, and other directors.

use lvs_api::peers::{Comparison, PeerState, PeerStatus, PeersStatus, RefusalCount};
use lvs_api::role::{AddressStatus, Role, RoleStatus};

use super::Page;
use crate::style::Tone;
use crate::table::{Cell, Column, Key, Row};
use crate::text::Text;

pub(super) const COLUMNS: &[Column] = &[
    Column::word("What", 7),
    Column::text("Name", 21),
    Column::text("State", 11),
    Column::number("For", 7),
    Column::number("Sent", 6),
    Column::number("Recvd", 6),
    Column::text("Remark", 16),
];

/// By kind.
pub(super) const SORT: usize = 0;

pub(super) fn page(role: &RoleStatus, peers: &PeersStatus) -> Page {
    let own = peers.instance.as_deref().unwrap_or("this director");
    let unreached = role.reach.unreached.len();
    let remark = if unreached > 0 {
        format!(
            "reaches no real server of {unreached} of {} services",
            role.reach.services
        )
    } else {
        String::new()
    };
    let tone = if unreached > 0 { Tone::Bad } else { Tone::Good };
    let rows = std::iter::once(row(
        0,
        own,
        (role.role.name(), tone),
        [const { Cell::Nothing }; 3],
        &remark,
    ));
    let addresses = role.addresses.iter().map(|it| address(role.role, it));
    let rows = rows.chain(addresses).chain(peers.peers.iter().map(peer));
    let rows = rows.chain(peers.refused.iter().map(refused));
    let listening = match &peers.listening {
        Some(address) => format!("listens at {address}"),
        None => "no peers are configured".to_owned(),
    };
    Page {
        rows: rows.collect(),
        summary: listening,
    }
}

fn address(role: Role, address: &AddressStatus) -> Row {
    let state = match (address.held, role) {
        (true, Role::Master) => ("held", Tone::Good),
        (true, Role::Backup) => ("held", Tone::Bad),
        (false, Role::Master) => ("not held", Tone::Bad),
        (false, Role::Backup) => ("not held", Tone::Plain),
    };
    let conflict = address.duplicate.iter();
    let conflict = conflict.map(|other| format!("address conflict with {other}"));
    let remarks: Vec<_> = address.problem.iter().cloned().chain(conflict).collect();
    let state = if remarks.is_empty() {
        state
    } else {
        (state.0, Tone::Bad)
    };
    row(
        1,
        &address.address.to_string(),
        state,
        [const { Cell::Nothing }; 3],
        &remarks.join("; "),
    )
}

fn peer(peer: &PeerStatus) -> Row {
    let tone = match peer.state {
        PeerState::Away => Tone::Bad,
        PeerState::CatchingUp => Tone::Warning,
        PeerState::InStep => Tone::Good,
        PeerState::Itself => Tone::Plain,
    };
    let mut remarks = Vec::new();
    if let Some(role) = peer.role {
        remarks.push(role.name().to_owned());
    }
    if let Some(sent) = &peer.sent
        && sent.lag_frames > 0
    {
        remarks.push(format!(
            "{} frames and {} ms behind",
            sent.lag_frames, sent.lag_ms
        ));
    }
    remarks.extend(peer.problem.iter().cloned());
    let differences = peer.comparison.as_ref().map(Comparison::sentences);
    let differences = differences.unwrap_or_default();
    let tone = if differences.is_empty() {
        tone
    } else {
        Tone::Bad
    };
    remarks.extend(differences);
    let count = |connections: Option<u64>| connections.map_or(Cell::Nothing, Cell::Number);
    row(
        2,
        &peer.address,
        (peer.state.name(), tone),
        [
            Cell::Age(peer.age),
            count(peer.sent.as_ref().map(|sent| sent.connections)),
            count(peer.received.as_ref().map(|received| received.connections)),
        ],
        &remarks.join("; "),
    )
}

fn refused(refusal: &RefusalCount) -> Row {
    let remark = format!("{} times, {}", refusal.count, refusal.explanation);
    let numbers = [Cell::Age(refusal.last_age), Cell::Nothing, Cell::Nothing];
    row(
        3,
        &refusal.address,
        (&refusal.name, Tone::Warning),
        numbers,
        &remark,
    )
}

/// Kinds of rows, in their order.
const KINDS: [&str; 4] = ["role", "address", "peer", "refused"];

fn row(kind: u8, name: &str, (state, tone): (&str, Tone), numbers: [Cell; 3], remark: &str) -> Row {
    let kind_text = KINDS[usize::from(kind)];
    let mut cells = vec![
        Cell::Ranked(kind, Text::new(kind_text), Tone::Plain),
        Cell::Text(Text::new(name)),
        Cell::Ranked(0, Text::new(state), tone),
    ];
    cells.extend(numbers);
    cells.push(Cell::Text(Text::new(remark)));
    let colon = if remark.is_empty() { "" } else { ": " };
    Row {
        key: Key::Other(kind_text, format!("{name} {state}")),
        detail: Text::new(format!("{kind_text} {name} {state}{colon}{remark}")),
        cells,
        below: Vec::new(),
    }
}
