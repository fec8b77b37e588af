//! A configuration and events, for tests.

use std::net::SocketAddr;

use crate::config::ldirectord::{Alerts, Configuration, OnDown, Quorum, Virtual};
use crate::control::health::Event;
use crate::model::{Protocol, ServiceId, ServiceSettings};

fn service() -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([192, 0, 2, 80], 80)),
    }
}

/// One virtual service about which mail goes this way.
pub(super) fn configuration(alerts: Alerts) -> Configuration {
    let service = Virtual {
        line: 1,
        id: service(),
        settings: ServiceSettings {
            scheduler: "wrr".to_owned(),
            scheduler_flags: 0,
            persistence: None,
            one_packet: false,
            redispatch: Some(false),
            engine: None,
        },
        servers: Vec::new(),
        fallbacks: Vec::new(),
        fallback_command: None,
        quiescent: false,
        readd_quiescent: false,
        clean_stop: true,
        on_down: OnDown::Keep,
        quorum: Quorum::default(),
        all_backups: false,
        slow_start: std::time::Duration::ZERO,
        alerts,
        monitor_file: None,
        service_name: Some("www".to_owned()),
        comment: None,
    };
    Configuration {
        virtuals: vec![service],
        ..Configuration::default()
    }
}

/// Something that happened to its server 10.0.0.1:80.
pub(super) fn event(event: &str, text: &str) -> Event {
    Event {
        time: 0.0,
        service: service(),
        server: Some(SocketAddr::from(([10, 0, 0, 1], 80))),
        event: event.to_owned(),
        reason: "no answer".to_owned(),
        text: text.to_owned(),
        weight: None,
    }
}
