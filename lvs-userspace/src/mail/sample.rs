//! A configuration and events, for tests.

use std::net::SocketAddr;

use crate::config::ldirectord::{Alerts, Configuration, Virtual};
use crate::control::health::Event;
use crate::health::service::tests::virtual_service;
use crate::model::{Protocol, ServiceId};

fn service() -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([192, 0, 2, 80], 80)),
    }
}

/// One virtual service about which mail goes this way.
pub(super) fn configuration(alerts: Alerts) -> Configuration {
    let service = Virtual {
        alerts,
        service_name: Some("www".to_owned()),
        ..virtual_service("192.0.2.80:80", Vec::new())
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
