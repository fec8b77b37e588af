//! Differences between two configurations of a virtual service, for the log.

use std::collections::HashMap;
use std::fmt::Debug;

use lvs_api::model::ServerId;

use crate::model::{RealServer, Virtual};

/// The differences, a line each.
pub(super) fn between(before: &Virtual, after: &Virtual) -> Vec<String> {
    let mut lines = Vec::new();
    let by_id = |wanted: &Virtual| -> HashMap<ServerId, RealServer> {
        let servers = wanted.servers.iter();
        servers.map(|server| (server.id, server.clone())).collect()
    };
    let (was, is) = (by_id(before), by_id(after));
    for server in &before.servers {
        if !is.contains_key(&server.id) {
            lines.push(format!("real server {} is gone", server.id.0));
        }
    }
    for server in &after.servers {
        match was.get(&server.id) {
            None => lines.push(format!("real server {} is new", server.id.0)),
            Some(earlier) if earlier != server => {
                let mut what = Vec::new();
                let (old, new) = (earlier.settings.weight, server.settings.weight);
                if old != new {
                    what.push(format!("weight {old} becomes {new}"));
                }
                let mut note = |differs: bool, name: &str| {
                    if differs {
                        what.push(format!("other {name}"));
                    }
                };
                note(earlier.checks != server.checks, "checks");
                note(earlier.rhythm != server.rhythm, "intervals or counts");
                note(
                    earlier.settings.method != server.settings.method,
                    "forwarding method",
                );
                let limits = |s: &RealServer| (s.settings.upper, s.settings.lower);
                note(limits(earlier) != limits(server), "thresholds");
                if what.is_empty() {
                    what.push("other options".to_owned());
                }
                lines.push(format!("real server {}: {}", server.id.0, what.join(", ")));
            }
            Some(_) => {}
        }
    }
    if before.settings != after.settings {
        lines.push(changed("settings", &before.settings, &after.settings));
    }
    if before.fallbacks != after.fallbacks {
        lines.push("other fallback servers".to_owned());
    }
    let rest = |wanted: &Virtual| Virtual {
        servers: Vec::new(),
        fallbacks: Vec::new(),
        settings: after.settings.clone(),
        ..wanted.clone()
    };
    if rest(before) != rest(after) {
        lines.push("other options".to_owned());
    }
    lines
}

/// A line with the value before and after.
fn changed<T: Debug>(name: &str, before: &T, after: &T) -> String {
    format!("{name}: {before:?} becomes {after:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tests::{real, virtual_service};

    #[test]
    fn each_difference_is_a_line() {
        let before = virtual_service(
            "10.9.9.9:80",
            vec![real("10.0.0.1:80"), real("10.0.0.2:80")],
        );
        assert_eq!(between(&before, &before), [""; 0]);
        let mut after = virtual_service(
            "10.9.9.9:80",
            vec![real("10.0.0.2:80"), real("10.0.0.3:80")],
        );
        after.servers[0].settings.weight = 1;
        after.servers[0].rhythm.fall = 9;
        after.quiescent = true;
        assert_eq!(
            between(&before, &after),
            [
                "real server 10.0.0.1:80 is gone",
                "real server 10.0.0.2:80: weight 5 becomes 1, other intervals or counts",
                "real server 10.0.0.3:80 is new",
                "other options",
            ]
        );
    }
}
