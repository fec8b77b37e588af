//! The configuration of a director as lines: the same on two directors that can go on with each other's connections.
//!
//! Of services whose servers are checked the configuration counts, not what of it the tables hold at the moment; of
//! others the tables.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use lvs_api::filter::{Filter, Source};
use lvs_api::model::{ServerId, ServerSettings, ServiceId, ServiceSettings};
use lvs_dataplane::director::Configuration;
use lvs_health::ConfiguredService;
use lvs_ipvsadm::mark_options::Options;
use lvs_ipvsadm::names::Names;
use lvs_ipvsadm::save;
use sha2::{Digest as _, Sha256};

/// Sorted lines, and their digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnLines {
    pub(crate) lines: BTreeSet<String>,
    pub(crate) digest: String,
}

impl OwnLines {
    /// Of what the tables are wanted to hold, and the services that are checked.
    pub(crate) fn new(tables: &Configuration, checked: &[ConfiguredService]) -> Self {
        let mut names = Names::new(true);
        let mut lines = BTreeSet::new();
        let by_id: HashMap<_, _> = checked
            .iter()
            .map(|service| (service.id, service))
            .collect();
        for (id, wanted) in &tables.services {
            lines.insert(service_line(id, &wanted.settings, &mut names));
            let of_file = by_id.get(id);
            for (server, settings) in &wanted.servers {
                let configured = of_file.is_some_and(|service| {
                    let mut all = service.servers.iter().chain(&service.fallbacks);
                    all.any(|(id, _)| id == server)
                });
                if !configured {
                    lines.insert(server_line("-a", id, *server, settings, &mut names));
                }
            }
        }
        for service in checked {
            for (server, settings) in &service.servers {
                lines.insert(server_line(
                    "-a",
                    &service.id,
                    *server,
                    settings,
                    &mut names,
                ));
            }
            for (server, settings) in &service.fallbacks {
                let kind = "fallback:";
                lines.insert(server_line(
                    kind,
                    &service.id,
                    *server,
                    settings,
                    &mut names,
                ));
            }
        }
        if let Some(timeouts) = tables.timeouts {
            let (tcp, fin, udp) = (timeouts.tcp, timeouts.tcp_fin, timeouts.udp);
            lines.insert(format!("--set {tcp} {fin} {udp}"));
        }
        let sysctls = tables.sysctls.iter();
        lines.extend(sysctls.map(|(name, value)| format!("--sysctl {name}={value}")));
        lines.extend(tables.marks.iter().map(|rule| Options(rule).to_string()));
        let digest = digest(lines.iter());
        Self { lines, digest }
    }
}

fn digest<'a>(lines: impl Iterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line);
        hash.update(b"\n");
    }
    hash.finalize()
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            // A string takes everything.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn service_line(id: &ServiceId, settings: &ServiceSettings, names: &mut Names) -> String {
    let mut line = format!("-A {}", save::service(id, settings, names));
    if settings.redispatch == Some(true) {
        line += " (redispatch)";
    }
    if let Some(filter) = settings.filter.as_ref().filter(|filter| !filter.is_empty()) {
        let _ = write!(line, " (filter {})", filter_digest(filter));
    }
    line
}

/// A filter in short: its lists may be long, and come from files of any name.
fn filter_digest(filter: &Filter) -> String {
    let prefixes = |sources: &[Source]| {
        let all = sources.iter().flat_map(Source::prefixes);
        let all: BTreeSet<_> = all.map(ToString::to_string).collect();
        digest(all.iter())
    };
    let allow = filter.allow.as_deref().map(prefixes);
    let text = format!("{allow:?} {} {:?}", prefixes(&filter.deny), filter.limits);
    digest([text].iter()).chars().take(8).collect()
}

fn server_line(
    kind: &str,
    service: &ServiceId,
    server: ServerId,
    settings: &ServerSettings,
    names: &mut Names,
) -> String {
    let mut line = format!("{kind} {}", save::server(service, server, settings, names));
    if settings.upper > 0 || settings.lower > 0 {
        let _ = write!(line, " -x {} -y {}", settings.upper, settings.lower);
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lvs_api::model::Protocol;
    use lvs_dataplane::director::Wanted;
    use lvs_health::Reach;

    use super::*;

    fn id() -> ServiceId {
        ServiceId::Address {
            protocol: Protocol::Tcp,
            address: "192.0.2.10:80".parse().unwrap(),
        }
    }

    fn server(last: u8, weight: u32) -> (ServerId, ServerSettings) {
        let settings = serde_json::json!({ "method": "nat", "weight": weight });
        let address = format!("10.0.0.{last}:80").parse().unwrap();
        (ServerId(address), serde_json::from_value(settings).unwrap())
    }

    fn tables(servers: Vec<(ServerId, ServerSettings)>) -> Configuration {
        let settings = serde_json::json!({ "scheduler": "rr" });
        let settings = serde_json::from_value(settings).unwrap();
        let services = vec![(id(), Wanted { settings, servers })];
        Configuration::new(services, None, Vec::new())
    }

    fn checked(servers: Vec<(ServerId, ServerSettings)>) -> ConfiguredService {
        ConfiguredService {
            id: id(),
            settings: tables(Vec::new()).services.remove(0).1.settings,
            servers,
            fallbacks: vec![server(99, 1)],
            reach: Reach::Unknown,
            interval: Duration::ZERO,
        }
    }

    #[test]
    fn lines_are_those_of_ipvsadm() {
        let own = OwnLines::new(&tables(vec![server(2, 3), server(1, 5)]), &[]);
        let lines: Vec<_> = own.lines.iter().map(String::as_str).collect();
        assert_eq!(
            lines,
            [
                "-A -t 192.0.2.10:80 -s rr",
                "-a -t 192.0.2.10:80 -r 10.0.0.1:80 -m -w 5",
                "-a -t 192.0.2.10:80 -r 10.0.0.2:80 -m -w 3",
            ]
        );
        let turned = OwnLines::new(&tables(vec![server(1, 5), server(2, 3)]), &[]);
        assert_eq!(own, turned, "their order does not count");
        let other = OwnLines::new(&tables(vec![server(1, 5), server(2, 4)]), &[]);
        assert_ne!(own.digest, other.digest);
    }

    #[test]
    fn what_health_checks_do_to_the_tables_makes_no_difference() {
        let file = [checked(vec![server(1, 5), server(2, 3)])];
        let all_up = OwnLines::new(&tables(vec![server(1, 5), server(2, 3)]), &file);
        let one_down = OwnLines::new(&tables(vec![server(1, 0)]), &file);
        let fallback = OwnLines::new(&tables(vec![server(99, 1)]), &file);
        assert_eq!(all_up, one_down);
        assert_eq!(all_up, fallback);
        // But what was added by hand does.
        let by_hand = OwnLines::new(&tables(vec![server(1, 5), server(7, 1)]), &file);
        assert_ne!(all_up.digest, by_hand.digest);
        let other_file = [checked(vec![server(1, 5)])];
        let other = OwnLines::new(&tables(vec![server(1, 5)]), &other_file);
        assert_ne!(all_up.digest, other.digest);
    }
}
