//! A director for tests.

use std::net::{IpAddr, SocketAddr};

use lvs_api::health::Health;
use lvs_api::model::{Protocol, ServerId, ServiceId};
use lvs_api::protocol::Services;
use serde_json::json;

use crate::snapshot::{ConfigStatus, Snapshot};

/// Virtual service by number.
fn service_id(number: usize) -> ServiceId {
    let [.., high, low] = number.to_be_bytes();
    let address = SocketAddr::new(IpAddr::from([192, 0, high, low]), 80);
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address,
    }
}

fn server_id(number: usize) -> ServerId {
    let [.., high, middle, low] = number.to_be_bytes();
    ServerId(SocketAddr::new(IpAddr::from([10, high, middle, low]), 80))
}

/// So many services with so many servers each, as in the tables.
pub(crate) fn services(services: usize, servers: usize) -> Services {
    let traffic = json!({
        "connections": 1, "in_packets": 10, "out_packets": 10, "in_bytes": 1000, "out_bytes": 100_000,
    });
    let server = |number| {
        json!({
            "id": server_id(number), "active": 1, "inactive": 2, "persistent": 0, "stats": traffic, "rates": traffic,
            "next_hop": "eth0 02:00:00:00:00:01",
            "settings": { "method": "nat", "weight": 1, "upper": 0, "lower": 0, "tunnel": "ipip" },
        })
    };
    let service = |number| {
        json!({
            "id": service_id(number), "settings": { "scheduler": "wlc" }, "stats": traffic, "rates": traffic,
            "servers": (0..servers).map(|place| server(number * servers + place)).collect::<Vec<_>>(),
        })
    };
    let all = json!({
        "table_size": 4096,
        "services": (0..services).map(service).collect::<Vec<_>>(),
    });
    serde_json::from_value(all).unwrap()
}

/// The same with health checks, everything else as of a director that has just begun.
pub(crate) fn snapshot(number: usize, servers: usize) -> Snapshot {
    let listed = services(number, servers);
    let server = |id: &ServerId| {
        json!({
            "address": id.0, "name": null, "state": "up", "admin": "ready", "maintenance": false, "backup": false,
            "since": 1000, "last": "HTTP 200 after 3 ms", "took_us": 3000, "towards": 0, "needed": 3, "configured": 1,
            "effective": null, "active": 0, "inactive": 0,
        })
    };
    let checked = listed.services.iter().map(|service| {
        json!({
            "id": service.id, "name": null, "quorum": null, "fallback": false,
            "servers": service.servers.iter().map(|it| server(&it.id)).collect::<Vec<_>>(),
        })
    });
    let health: Health =
        serde_json::from_value(json!({ "services": checked.collect::<Vec<_>>() })).unwrap();
    let status = json!({
        "version": "1", "abi": 1, "pid": 1, "interfaces": [], "unresolved": [],
        "tables": [{ "family": "ipv4", "entries": 1, "capacity": 8 }],
    });
    let sync = json!({
        "daemons": [], "received": { "messages": 0, "entries": 0, "discarded": [] },
        "sent": { "messages": 0, "entries": 0, "failed": 0, "lost_events": 0, "scans": 0 },
    });
    Snapshot {
        services: listed,
        health: Some(health),
        status: serde_json::from_value(status).unwrap(),
        verdicts: Vec::new(),
        peers: serde_json::from_value(json!({
            "instance": null, "listening": null, "peers": [], "refused": [], "lost_events": 0,
        }))
        .unwrap(),
        sync: serde_json::from_value(sync).unwrap(),
        role: serde_json::from_value(json!({ "role": "master", "addresses": [] })).unwrap(),
        config: ConfigStatus::default(),
    }
}
