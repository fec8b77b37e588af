//! Names of ports, as in `/etc/services`.

use std::collections::HashMap;
use std::fs;
use std::sync::OnceLock;

use lvs_api::model::{Protocol, ServiceId};

/// The protocol by which ports of a service and its servers are named: TCP for a mark.
pub(super) fn port_protocol(service: &ServiceId) -> Protocol {
    match service {
        ServiceId::Address { protocol, .. } => *protocol,
        ServiceId::Mark { .. } => Protocol::Tcp,
    }
}

/// Names of ports, as `/etc/services` has them, read once one is asked for: most commands have numbers.
pub struct ServiceNames(OnceLock<Known>);

#[derive(Default)]
struct Known {
    ports: HashMap<(String, Protocol), u16>,
    names: HashMap<(u16, Protocol), String>,
}

impl ServiceNames {
    /// The system's names.
    pub const fn system() -> &'static Self {
        static SYSTEM: ServiceNames = ServiceNames(OnceLock::new());
        &SYSTEM
    }

    #[cfg(test)]
    pub(super) fn from_text(text: &str) -> Self {
        Self(OnceLock::from(Known::from_text(text)))
    }

    fn known(&self) -> &Known {
        self.0.get_or_init(|| {
            // A system without the file has no names: numbers still work.
            Known::from_text(&fs::read_to_string("/etc/services").unwrap_or_default())
        })
    }

    /// The port of this name.
    pub fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let known = self.known();
        known.ports.get(&(name.to_owned(), protocol)).copied()
    }

    /// The name of this port.
    pub(super) fn name(&self, port: u16, protocol: Protocol) -> Option<&str> {
        self.known()
            .names
            .get(&(port, protocol))
            .map(String::as_str)
    }
}

impl Known {
    /// Parses lines of `name port/protocol alias…`; `#` begins a comment. The first entry of a name or port counts.
    fn from_text(text: &str) -> Self {
        let mut known = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((port, protocol)) = port.split_once('/') else {
                continue;
            };
            let protocol = match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                "sctp" => Protocol::Sctp,
                _ => continue,
            };
            let Ok(port) = port.parse() else { continue };
            known
                .names
                .entry((port, protocol))
                .or_insert_with(|| name.to_owned());
            for name in std::iter::once(name).chain(words) {
                known
                    .ports
                    .entry((name.to_owned(), protocol))
                    .or_insert(port);
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names_by_protocol() {
        let names = ServiceNames::from_text(
            "# well known\nhttp\t80/tcp  www # WorldWideWeb\nhttp 80/udp\nalso 80/tcp\nbad\nbad 1/ddp\n",
        );
        assert_eq!(names.port("www", Protocol::Tcp), Some(80));
        assert_eq!(names.port("www", Protocol::Udp), None);
        assert_eq!(names.name(80, Protocol::Tcp), Some("http"));
        assert_eq!(names.name(80, Protocol::Sctp), None);
        assert_eq!(names.port("bad", Protocol::Tcp), None);
    }
}
