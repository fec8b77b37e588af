//! `healthy`: whether this director may be master.

use std::io::Write;

use lvs_api::client::Client;
use lvs_api::model::ServiceId;
use lvs_api::protocol::Status;
use lvs_api::role::{CarrierStatus, ReachStatus, Role};

use super::failure::Failure;
use super::sync::{self, Awaited};

/// Exit code: not healthy.
const NOT_HEALTHY: u8 = 1;
/// Services that are named at most.
const NAMED: usize = 5;

/// When a director counts as cut off from the real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// When it reaches none of any service, and a peer does.
    AllWithPeer,
    /// Likewise, and without peers when it reaches none.
    All,
    /// When it reaches none of one service, and a peer, if there is one, does.
    Any,
    Never,
}

/// Prints what is wrong and how peers differ; the exit code.
pub(super) async fn run(
    client: &mut Client,
    cut: Cut,
    out: &mut impl Write,
) -> Result<u8, Failure> {
    let mut problem = not_attached(&client.status().await?);
    let role = client.role().await?;
    let peers = client.peers().await?.peers;
    if problem.is_none() && role.role != Role::Master {
        // One that returns receives all connections first; until then the present master is the better one.
        problem = sync::behind(&peers, Awaited::Takeover);
    }
    let problem = problem.or_else(|| no_carrier(&role.carrier));
    let problem = problem.or_else(|| cut_off(&role.reach, cut));
    for sentence in sync::differences(&peers) {
        writeln!(out, "{sentence}")?;
    }
    match problem {
        Some(problem) => {
            writeln!(out, "not healthy: {problem}")?;
            Ok(NOT_HEALTHY)
        }
        None => Ok(0),
    }
}

fn not_attached(status: &Status) -> Option<String> {
    let attached = status.interfaces.iter().any(|it| it.mode != "none");
    let text = "the program is attached to no interface (lvsadm --status)";
    (!attached).then(|| text.to_owned())
}

/// The reason why a director counts as cut off from the clients, if it does and a peer is not.
fn no_carrier(carrier: &CarrierStatus) -> Option<String> {
    if carrier.missing.is_empty() || !carrier.elsewhere {
        return None;
    }
    let (names, verb) = match &carrier.missing[..] {
        [name] => (format!("interface {name}"), "is"),
        names => (format!("interfaces {}", names.join(", ")), "are"),
    };
    Some(format!(
        "{names} of the virtual addresses {verb} down or without carrier, though a peer's are not"
    ))
}

/// The reason why a director counts as cut off from the real servers, if it does.
fn cut_off(reach: &ReachStatus, cut: Cut) -> Option<String> {
    let counted = if reach.asked {
        &reach.reached_elsewhere
    } else if cut == Cut::AllWithPeer {
        return None;
    } else {
        &reach.unreached
    };
    let all = reach.unreached.len() as u64 == reach.services;
    if counted.is_empty() || cut == Cut::Never || (cut != Cut::Any && !all) {
        return None;
    }
    let names: Vec<_> = counted
        .iter()
        .take(NAMED)
        .map(ServiceId::to_string)
        .collect();
    let more = match counted.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let elsewhere = if reach.asked {
        ", though a peer reaches one"
    } else {
        ""
    };
    let names = names.join(", ");
    Some(format!(
        "no real server of {names}{more} is reached from here{elsewhere}"
    ))
}

#[cfg(test)]
mod tests {
    use lvs_api::model::Protocol;

    use super::*;

    fn service(port: u16) -> ServiceId {
        ServiceId::Address {
            protocol: Protocol::Tcp,
            address: ([192, 0, 2, 10], port).into(),
        }
    }

    fn reach(unreached: &[u16], elsewhere: &[u16], asked: bool) -> ReachStatus {
        ReachStatus {
            services: 2,
            unreached: unreached.iter().map(|&port| service(port)).collect(),
            reached_elsewhere: elsewhere.iter().map(|&port| service(port)).collect(),
            asked,
        }
    }

    #[test]
    fn a_carrier_counts_that_a_peer_has() {
        let carrier = |missing: &[&str], elsewhere| CarrierStatus {
            missing: missing.iter().map(|&name| name.to_owned()).collect(),
            elsewhere,
        };
        assert_eq!(no_carrier(&carrier(&[], true)), None);
        assert_eq!(no_carrier(&carrier(&["eth0"], false)), None);
        assert_eq!(
            no_carrier(&carrier(&["eth0"], true)).unwrap(),
            "interface eth0 of the virtual addresses is down or without carrier, though a peer's are not"
        );
        let two = no_carrier(&carrier(&["eth0", "eth1"], true)).unwrap();
        assert!(two.starts_with("interfaces eth0, eth1 of the virtual addresses are"));
    }

    #[test]
    fn a_director_is_cut_off_if_a_peer_is_not() {
        let whole = reach(&[80, 81], &[80], true);
        let text =
            "no real server of tcp 192.0.2.10:80 is reached from here, though a peer reaches one";
        assert_eq!(cut_off(&whole, Cut::AllWithPeer).unwrap(), text);
        assert!(cut_off(&whole, Cut::All).is_some());
        assert!(cut_off(&whole, Cut::Any).is_some());
        assert_eq!(cut_off(&whole, Cut::Never), None);

        let one = reach(&[80], &[80], true);
        assert_eq!(cut_off(&one, Cut::AllWithPeer), None);
        assert!(cut_off(&one, Cut::Any).is_some());
        // The servers are down for both.
        let dead = reach(&[80, 81], &[], true);
        for cut in [Cut::AllWithPeer, Cut::All, Cut::Any] {
            assert_eq!(cut_off(&dead, cut), None);
        }
    }

    #[test]
    fn without_a_peer_an_option_decides() {
        let dead = reach(&[80, 81], &[], false);
        assert_eq!(cut_off(&dead, Cut::AllWithPeer), None);
        let text = "no real server of tcp 192.0.2.10:80, tcp 192.0.2.10:81 is reached from here";
        assert_eq!(cut_off(&dead, Cut::All).unwrap(), text);
        assert_eq!(cut_off(&reach(&[80], &[], false), Cut::All), None);
        assert!(cut_off(&reach(&[80], &[], false), Cut::Any).is_some());
        // A director without health checks knows of no server.
        let none = ReachStatus::default();
        assert_eq!(cut_off(&none, Cut::All), None);
    }
}
