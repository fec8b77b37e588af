//! Health of real servers, for tests.

use lvs_api::health::{AdminState, Health, ServerHealth, ServiceHealth, State};
use lvs_api::model::{Protocol, ServiceId};

/// Two virtual services: www with two servers, and a nameless one with one server.
pub(super) fn health() -> Health {
    let server = |address: &str, state, last: &str| ServerHealth {
        address: address.parse().expect("an address"),
        name: None,
        state,
        admin: AdminState::Ready,
        maintenance: false,
        backup: false,
        since: 1_000,
        age: 7_200,
        last: last.to_owned(),
        took_us: 3_000,
        checks_passed: 0,
        checks_failed: 0,
        times_down: 0,
        seconds_down: 0,
        towards: 0,
        needed: 1,
        configured: 10,
        effective: Some(10),
        active: 12,
        inactive: 3,
    };
    let service = |protocol, address: &str, name: Option<&str>, servers| ServiceHealth {
        id: ServiceId::Address {
            protocol,
            address: address.parse().expect("an address"),
        },
        name: name.map(str::to_owned),
        quorum: None,
        fallback: false,
        servers,
        unchecked: Vec::new(),
        silent: Vec::new(),
        fallbacks: Vec::new(),
        names: Vec::new(),
    };
    let first = ServerHealth {
        name: Some("rs1".to_owned()),
        ..server("10.0.10.1:80", State::Up, "HTTP 200 after 3 ms")
    };
    let second = ServerHealth {
        effective: None,
        active: 0,
        ..server("10.0.10.2:80", State::Down, "no connection in 2000 ms")
    };
    let third = ServerHealth {
        admin: AdminState::Drain,
        effective: Some(0),
        ..server("[2001:db8::1]:53", State::Up, "")
    };
    Health {
        services: vec![
            service(
                Protocol::Tcp,
                "192.0.2.80:80",
                Some("www"),
                vec![first, second],
            ),
            service(Protocol::Udp, "[2001:db8::53]:53", None, vec![third]),
        ],
        durations: Vec::new(),
    }
}
