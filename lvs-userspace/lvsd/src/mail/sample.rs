//! A configuration and events, for tests.

use std::net::SocketAddr;

use lvs_api::health::Event;
use lvs_api::model::{Protocol, ServiceId};
use lvs_config::ldirectord;
use lvs_health::model::{Alerts, Configuration};

fn service() -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([192, 0, 2, 80], 80)),
    }
}

/// One virtual service about which mail goes this way.
pub(super) fn configuration(alerts: &Alerts) -> Configuration {
    let file = "virtual = 192.0.2.80:80\n    servicename = www\n    real = 10.0.0.1:80 gate\n";
    let read = ldirectord::parse(file).configuration;
    let mut configuration = read.expect("the file is right");
    for service in &mut configuration.virtuals {
        service.alerts = alerts.clone();
    }
    configuration
}

/// Something that happened to its server 10.0.0.1:80.
pub(super) fn event(event: &str, text: &str) -> Event {
    Event {
        time: 0.0,
        service: Some(service()),
        server: Some(SocketAddr::from(([10, 0, 0, 1], 80))),
        subject: None,
        event: event.to_owned(),
        reason: "no answer".to_owned(),
        text: text.to_owned(),
        weight: None,
    }
}
