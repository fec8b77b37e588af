//! The data of the page, as JSON.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use lvs_api::health::Event;
use lvs_api::model::ServiceId;
use lvs_api::peers::{PeerState, PeerStatus};
use lvs_api::protocol::{Interface, LostFrames, Table, Traffic, VerdictCount};
use lvs_api::role::AddressStatus;
use lvs_api::rows::{ServerRow, ServiceRow, Shown, rows};
use serde::Serialize;

use crate::history::{History, Kept};
use crate::snapshot::Snapshot;
use crate::users::Identity;

/// Real servers up to which all are shown.
const FEW: usize = 300;

/// Virtual services whose real servers are shown because of what they match, at most.
const SHOWN: usize = 50;

/// Events that are shown.
const EVENTS: usize = 50;

/// The choice among the real servers, which may be thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    everything: bool,
    /// Virtual services, by label.
    open: BTreeSet<String>,
    /// Part of a name or address, in lower case; empty: none.
    filter: String,
}

impl Wanted {
    /// Every real server.
    pub(crate) fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Parses the part of an address behind the question mark. Other keys are of other versions of the page.
    pub(crate) fn parse(query: &str) -> Self {
        let mut wanted = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "open" => drop(wanted.open.insert(value.into_owned())),
                "filter" => wanted.filter = value.trim().to_lowercase(),
                _ => {}
            }
        }
        wanted
    }
}

/// The data of the page.
#[derive(Serialize)]
struct Data<'a> {
    /// Seconds since 1970.
    now: u64,
    version: &'a str,
    pid: u32,
    /// The user who asks; none: nobody in particular.
    user: Option<&'a str>,
    right: &'static str,
    role: &'static str,
    addresses: &'a [AddressStatus],
    tables: &'a [Table],
    interfaces: &'a [Interface],
    lost: &'a [LostFrames],
    peers: Vec<Peer<'a>>,
    verdicts: Vec<&'a VerdictCount>,
    /// The last attempt to read the configuration; none: there is no file.
    configured: Option<bool>,
    config_read: u64,
    unresolved: usize,
    /// Numbers of real servers by state.
    states: Vec<(&'static str, usize)>,
    totals: Totals,
    services: Vec<Service<'a>>,
    events: Vec<&'a Event>,
}

/// Of all virtual services, whatever is shown of them.
#[derive(Default, Serialize)]
struct Totals {
    services: usize,
    /// Those that somebody should look at.
    troubled: usize,
    /// Connections, active and inactive.
    open: u64,
    /// New connections per second.
    new: u64,
    /// Bytes per second, in and out.
    bytes: u64,
}

#[derive(Serialize)]
struct Peer<'a> {
    address: &'a str,
    state: &'static str,
    role: Option<&'static str>,
    problem: Option<&'a str>,
    age: u64,
    lag_frames: u64,
    connections: u64,
    /// Sentences about what differs.
    differs: Vec<String>,
}

#[derive(Serialize)]
struct Service<'a> {
    label: &'a str,
    id: ServiceId,
    name: &'a str,
    scheduler: &'a str,
    quorum: Option<bool>,
    fallback: bool,
    silent: &'a [String],
    states: Vec<(&'static str, usize)>,
    #[serde(flatten)]
    load: Load,
    /// None: they are not shown.
    servers: Option<Vec<Server<'a>>>,
}

/// Connections and traffic.
#[derive(Serialize)]
struct Load {
    active: u64,
    inactive: u64,
    most: u32,
    total: Traffic,
    rate: Traffic,
    rates: Vec<u32>,
}

#[derive(Serialize)]
struct Server<'a> {
    address: &'a str,
    name: &'a str,
    state: &'static str,
    /// Of a state that the checks give: up, down or unknown.
    checked: Option<&'static str>,
    age: Option<u64>,
    last: &'a str,
    took_us: u64,
    towards: u32,
    needed: u32,
    backup: bool,
    weight: u32,
    configured: Option<u32>,
    checks_passed: u64,
    checks_failed: u64,
    times_down: u64,
    seconds_down: u64,
    next_hop: &'a str,
    #[serde(flatten)]
    load: Load,
}

/// Renders a snapshot as the page's JSON.
pub(crate) fn data(
    snapshot: &Snapshot,
    history: &History,
    wanted: &Wanted,
    who: Option<&Identity>,
) -> serde_json::Result<Vec<u8>> {
    let rows = rows(&snapshot.services, snapshot.health.as_ref());
    let (kept, events) = (history.kept(), history.events(EVENTS));
    let few = rows.iter().map(|row| row.servers.len()).sum::<usize>() <= FEW;
    let mut room = SHOWN;
    let mut services = Vec::with_capacity(rows.len());
    for row in &rows {
        let matching = wanted.filter.is_empty() || matches(row, &wanted.filter);
        if !matching {
            continue;
        }
        let asked =
            wanted.open.contains(&row.label) || !wanted.filter.is_empty() || is_troubled(row);
        let shown = few || wanted.everything || (asked && room > 0);
        if shown && !few {
            room = room.saturating_sub(1);
        }
        services.push(service(row, &kept, shown));
    }
    let status = &snapshot.status;
    serde_json::to_vec(&Data {
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
        version: &status.version,
        pid: status.pid,
        user: who.map(|who| &*who.name),
        right: who.map_or("read", |who| who.right.name()),
        role: snapshot.role.role.name(),
        addresses: &snapshot.role.addresses,
        tables: &status.tables,
        interfaces: &status.interfaces,
        lost: &status.lost,
        peers: snapshot
            .peers
            .peers
            .iter()
            .filter(|it| it.state != PeerState::Itself)
            .map(peer)
            .collect(),
        verdicts: snapshot
            .verdicts
            .iter()
            .filter(|it| it.packets > 0)
            .collect(),
        configured: snapshot.config.successful,
        config_read: snapshot.config.read_at,
        unresolved: status.unresolved.len(),
        states: Shown::ALL
            .map(|it| (it.name(), rows.iter().map(|row| row.count(it)).sum()))
            .to_vec(),
        totals: totals(&rows),
        services,
        events: events.iter().map(|event| &**event).collect(),
    })
}

fn peer(peer: &PeerStatus) -> Peer<'_> {
    Peer {
        address: &peer.address,
        state: peer.state.name(),
        role: peer.role.map(lvs_api::role::Role::name),
        problem: peer.problem.as_deref(),
        age: peer.age,
        lag_frames: peer.sent.as_ref().map_or(0, |sent| sent.lag_frames),
        connections: peer
            .received
            .as_ref()
            .map_or(0, |received| received.connections),
        differs: peer
            .comparison
            .as_ref()
            .map(lvs_api::peers::Comparison::sentences)
            .unwrap_or_default(),
    }
}

/// True if a service or one of its real servers has this in its name or address.
fn matches(row: &ServiceRow<'_>, filter: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(filter);
    has(&row.label)
        || has(row.name())
        || row
            .servers
            .iter()
            .any(|it| has(&it.label) || has(it.name()) || it.state().name() == filter)
}

/// True if somebody should look at a service; the page's script has the same (`trouble`).
fn is_troubled(row: &ServiceRow<'_>) -> bool {
    let is_fallback = row
        .health
        .is_some_and(|it| it.fallback || it.quorum == Some(false) || !it.silent.is_empty());
    let serving = row.count(Shown::Up) + row.count(Shown::Unchecked);
    is_fallback || serving == 0 || row.count(Shown::Down) > 0
}

fn totals(rows: &[ServiceRow<'_>]) -> Totals {
    let mut totals = Totals::default();
    for row in rows {
        let open = row.servers.iter().filter_map(|it| it.entry);
        let rates = row.entry.map(|it| it.rates).unwrap_or_default();
        totals.services += 1;
        totals.troubled += usize::from(is_troubled(row));
        totals.open += open
            .map(|it| u64::from(it.active) + u64::from(it.inactive))
            .sum::<u64>();
        totals.new += rates.connections;
        totals.bytes += rates.in_bytes + rates.out_bytes;
    }
    totals
}

fn service<'a>(row: &'a ServiceRow<'a>, kept: &Kept, shown: bool) -> Service<'a> {
    let servers = row.servers.iter();
    let (active, inactive) = servers
        .clone()
        .filter_map(|it| it.entry)
        .fold((0, 0), |sum, it| {
            (sum.0 + u64::from(it.active), sum.1 + u64::from(it.inactive))
        });
    let traffic = row.entry.map(|it| (it.stats, it.rates)).unwrap_or_default();
    Service {
        label: &row.label,
        id: row.id,
        name: row.name(),
        scheduler: row.entry.map_or("", |it| &it.settings.scheduler),
        quorum: row.health.and_then(|it| it.quorum),
        fallback: row.health.is_some_and(|it| it.fallback),
        silent: row.health.map_or(&[], |it| &it.silent),
        states: Shown::ALL
            .map(|it| (it.name(), row.count(it)))
            .into_iter()
            .filter(|it| it.1 > 0)
            .collect(),
        load: load((active, inactive), traffic, kept, row.id, None),
        servers: shown.then(|| servers.map(|it| server(row, it, kept)).collect()),
    }
}

fn load(
    (active, inactive): (u64, u64),
    (total, rate): (Traffic, Traffic),
    kept: &Kept,
    service: ServiceId,
    server: Option<std::net::SocketAddr>,
) -> Load {
    let series = kept.series(service, server);
    let now = u32::try_from(active + inactive).unwrap_or(u32::MAX);
    Load {
        active,
        inactive,
        most: series.map_or(0, |it| it.most).max(now),
        total,
        rate,
        rates: series
            .map(|it| it.rates.iter().copied().collect())
            .unwrap_or_default(),
    }
}

fn server<'a>(service: &ServiceRow<'a>, row: &'a ServerRow<'a>, kept: &Kept) -> Server<'a> {
    let health = row.health;
    let open = row
        .entry
        .map_or((0, 0), |it| (u64::from(it.active), u64::from(it.inactive)));
    let traffic = row.entry.map(|it| (it.stats, it.rates)).unwrap_or_default();
    Server {
        address: &row.label,
        name: row.name(),
        state: row.state().name(),
        checked: health.map(|it| match it.state {
            lvs_api::health::State::Unknown => "unknown",
            lvs_api::health::State::Up => "up",
            lvs_api::health::State::Down => "down",
        }),
        age: health.map(|it| it.age),
        last: health.map_or("", |it| &it.last),
        took_us: health.map_or(0, |it| it.took_us),
        towards: health.map_or(0, |it| it.towards),
        needed: health.map_or(0, |it| it.needed),
        backup: health.is_some_and(|it| it.backup),
        weight: row.weight(),
        configured: health.map(|it| it.configured),
        checks_passed: health.map_or(0, |it| it.checks_passed),
        checks_failed: health.map_or(0, |it| it.checks_failed),
        times_down: health.map_or(0, |it| it.times_down),
        seconds_down: health.map_or(0, |it| it.seconds_down),
        next_hop: row.entry.map_or("", |it| &it.next_hop),
        load: load(open, traffic, kept, service.id, Some(row.address)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sample::snapshot;

    #[test]
    fn totals_are_of_all_services_whatever_the_filter_shows() {
        let mut snapshot = snapshot(5, 2);
        let health = snapshot.health.as_mut().unwrap();
        health.services[1].silent.push("no answer".to_owned());
        health.services[2].servers[0].state = lvs_api::health::State::Down;
        let wanted = Wanted::parse("filter=192.0.0.0:80");
        let text = data(&snapshot, &History::default(), &wanted, None).unwrap();
        let shown: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(shown["services"].as_array().unwrap().len(), 1);
        let totals = &shown["totals"];
        assert_eq!(
            (&totals["services"], &totals["troubled"]),
            (&5.into(), &2.into())
        );
        assert_eq!((&totals["open"], &totals["new"]), (&30.into(), &5.into()));
    }
}
