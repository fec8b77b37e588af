//! A director for tests.

use std::net::{IpAddr, SocketAddr};

use lvs_api::protocol::VerdictCount;
use serde_json::{Value, json};

use crate::options::{Options, Tab};
use crate::snapshot::{Detail, Snapshot};

pub(crate) fn options(tab: Tab) -> Options {
    Options {
        tab,
        interval: std::time::Duration::from_secs(1),
        filter: String::new(),
        sort: None,
        colour: false,
    }
}

fn traffic(rate: usize) -> Value {
    json!({
        "connections": rate / 10, "in_packets": rate, "out_packets": 0, "in_bytes": rate * 1_500, "out_bytes": 0,
    })
}

fn address(first: u8, number: usize) -> SocketAddr {
    let [.., high, middle, low] = number.to_be_bytes();
    SocketAddr::new(IpAddr::from([first, high, middle, low]), 80)
}

/// So many services with so many servers each. A server's rate is its number; every seventh is down.
pub(crate) fn services(services: usize, servers: usize) -> Snapshot {
    let id = |number| json!({ "address": { "protocol": "tcp", "address": address(192, number) } });
    let numbers = |service: usize| (service * servers..).take(servers);
    let entry = |number: usize| {
        json!({
            "id": address(10, number), "active": number, "inactive": 0, "persistent": 0,
            "stats": traffic(0), "rates": traffic(number), "next_hop": "eth0 02:00:00:00:00:01",
            "settings": { "method": "direct", "weight": 1 },
        })
    };
    let service = |number| {
        json!({
            "id": id(number), "settings": { "scheduler": "wlc" }, "stats": traffic(0),
            "rates": traffic(numbers(number).sum()),
            "servers": numbers(number).map(entry).collect::<Vec<_>>(),
        })
    };
    let check = |number: usize| {
        let down = number % 7 == 6;
        json!({
            "address": address(10, number), "name": format!("web{number}"),
            "state": if down { "down" } else { "up" }, "admin": "ready", "maintenance": false, "backup": false,
            "since": 0, "age": 7_200, "last": if down { "no answer\u{1b}[2J" } else { "HTTP 200 after 3 ms" },
            "took_us": 3_210, "checks_passed": 90, "checks_failed": 2, "times_down": 1,
            "towards": 0, "needed": 3, "configured": 1, "effective": 1, "active": 0, "inactive": 0,
        })
    };
    let health = |number| {
        json!({
            "id": id(number), "name": format!("shop{number}"), "quorum": null, "fallback": false,
            "servers": numbers(number).map(check).collect::<Vec<_>>(),
        })
    };
    let listed = (0..services).map(service).collect::<Vec<_>>();
    let checked = (0..services).map(health).collect::<Vec<_>>();
    snapshot(Detail::Services(
        serde_json::from_value(json!({ "table_size": 4096, "services": listed }))
            .expect("services"),
        Some(serde_json::from_value(json!({ "services": checked })).expect("health")),
    ))
}

/// Verdicts with these numbers of packets.
pub(crate) fn verdicts(counts: [u64; 3]) -> Snapshot {
    let names = ["forward-direct", "drop-length", "pass-not-ours"];
    let count = |(name, packets): (&str, u64)| VerdictCount {
        name: name.to_owned(),
        packets,
        explanation: format!("the meaning of {name}"),
    };
    let counts = names.into_iter().zip(counts).map(count);
    snapshot(Detail::Verdicts(counts.collect()))
}

/// A pair whose other half lags.
pub(crate) fn peers() -> Snapshot {
    let peers = json!({
        "instance": "one", "listening": "10.0.0.1:4500", "refused": [{
            "address": "10.0.0.9", "name": "wrong-key", "count": 3, "since": 0, "last": 0, "last_age": 61,
            "explanation": "it has another key",
        }],
        "peers": [{
            "address": "10.0.0.2:4500", "instance": "two", "role": "backup", "state": "catching-up", "since": 0,
            "age": 5, "problem": null, "sent": {
                "connected": true, "connections": 1_234, "lag_frames": 7, "lag_ms": 90, "progress": 10, "bulk": null,
                "losses": 0, "missing": 0,
            }, "received": null,
        }],
        "lost_events": 0,
    });
    snapshot(Detail::Peers(serde_json::from_value(peers).expect("peers")))
}

/// Everything else, as of a busy director.
pub(crate) fn snapshot(detail: Detail) -> Snapshot {
    let status = json!({
        "version": "0.2.0", "abi": 9, "pid": 4711,
        "interfaces": [
            { "name": "eth0", "mode": "native", "why": "the driver runs XDP programs" },
            { "name": "br0", "mode": "tc", "why": "a bridge has no XDP" },
        ],
        "unresolved": ["10.0.0.77"],
        "tables": [
            { "family": "ipv4", "entries": 3_481, "capacity": 4_096 },
            { "family": "ipv6", "entries": 0, "capacity": 4_096 },
        ],
        "lost": [{ "interface": "eth0", "error": "No buffer space", "frames": 12, "remedy": "a longer ring" }],
    });
    let role = json!({
        "role": "master",
        "addresses": [
            { "address": "192.0.2.80/24@eth0", "held": true, "problem": null, "duplicate": null },
            { "address": "192.0.2.81/24@eth0", "held": false, "problem": null, "duplicate": "02:00:00:00:00:99" },
        ],
    });
    Snapshot {
        status: serde_json::from_value(status).expect("status"),
        role: serde_json::from_value(role).expect("role"),
        traffic: serde_json::from_value(
            json!({ "stats": traffic(0), "rates": traffic(12_345_678), "cpus": [] }),
        )
        .expect("traffic"),
        detail,
    }
}
