//! `--status`: status of the daemon and its data path.

use std::io::{self, Write};

use lvs_api::model::Family;
use lvs_api::protocol::{Interface, LostFrames, Status, Table};

use crate::verbs::traced;

/// Prints the status.
pub(super) fn print(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let Status {
        version,
        abi,
        pid,
        interfaces,
        tables,
        unresolved,
        missing_sources,
        lost,
        tracing,
    } = status;
    writeln!(out, "lvsd {version}, process {pid}, map layout {abi}")?;

    writeln!(out, "\nInterfaces:")?;
    for interface in interfaces {
        let Interface { name, mode, why } = interface;
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(" ({why})")
        };
        writeln!(out, "  {name:<15} {mode}{why}")?;
    }
    if interfaces.is_empty() {
        writeln!(out, "  none: no packet reaches the director")?;
    }

    writeln!(out, "\nConnections:")?;
    for table in tables {
        let Table {
            family,
            entries,
            capacity,
            over_share,
        } = table;
        let family = match family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        };
        // Tenths of a percent, rounded down.
        let load = entries
            .saturating_mul(1000)
            .checked_div(*capacity)
            .unwrap_or(0);
        writeln!(
            out,
            "  {family} {entries:>12} of {capacity} ({}.{} %)",
            load / 10,
            load % 10
        )?;
        if let Some(service) = over_share {
            writeln!(
                out,
                "       {service} holds more than its share and gets no more"
            )?;
        }
    }

    if !unresolved.is_empty() {
        writeln!(out, "\nReal servers whose next hop is not known:")?;
        for address in unresolved {
            writeln!(out, "  {address}")?;
        }
    }
    if !missing_sources.is_empty() {
        writeln!(
            out,
            "\nSource addresses of full NAT that this machine does not have (replies get lost):"
        )?;
        for address in missing_sources {
            writeln!(out, "  {address}")?;
        }
    }

    if !lost.is_empty() {
        writeln!(
            out,
            "\nFrames that were forwarded, but that the kernel did not send:"
        )?;
        for LostFrames {
            interface,
            error,
            frames,
            remedy,
        } in lost
        {
            writeln!(out, "  {interface:<15} {frames:>12} ({error}; {remedy})")?;
        }
    }
    if let Some(tracing) = tracing {
        writeln!(out, "\n{}", traced(tracing))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_api::model::ServiceId;
    use lvs_api::protocol::Tracing;

    #[test]
    fn status_shows_interfaces_tables_and_unresolved_servers() {
        let interface = |name: &str, mode: &str, why: &str| Interface {
            name: name.into(),
            mode: mode.into(),
            why: why.into(),
        };
        let status = Status {
            version: "0.1.0".to_owned(),
            abi: 3,
            pid: 4711,
            interfaces: vec![
                interface("eth0", "native", ""),
                interface("br0", "tc", "a bridge device runs no XDP programs"),
            ],
            tables: vec![
                Table {
                    family: Family::Ipv4,
                    entries: 123_456,
                    capacity: 1_048_576,
                    over_share: Some(ServiceId::Mark {
                        mark: 3,
                        family: Family::Ipv4,
                    }),
                },
                Table {
                    family: Family::Ipv6,
                    entries: 0,
                    capacity: 0,
                    over_share: None,
                },
            ],
            unresolved: vec!["10.0.0.9".parse().expect("an address")],
            missing_sources: vec!["10.0.0.7".parse().expect("an address")],
            lost: vec![LostFrames {
                interface: "eth0".to_owned(),
                error: "it is down".to_owned(),
                frames: 3,
                remedy: "set it up: ip link set eth0 up".to_owned(),
            }],
            tracing: Some(Tracing {
                tracers: 2,
                since: 1_000,
                age: 90,
            }),
        };
        let mut out = Vec::new();
        print(&mut out, &status).expect("memory takes it");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
lvsd 0.1.0, process 4711, map layout 3

Interfaces:
  eth0            native
  br0             tc (a bridge device runs no XDP programs)

Connections:
  IPv4       123456 of 1048576 (11.7 %)
       fwm 3 holds more than its share and gets no more
  IPv6            0 of 0 (0.0 %)

Real servers whose next hop is not known:
  10.0.0.9

Source addresses of full NAT that this machine does not have (replies get lost):
  10.0.0.7

Frames that were forwarded, but that the kernel did not send:
  eth0                       3 (it is down; set it up: ip link set eth0 up)

2 clients trace packets since 1m 30s: packets take longer to handle
"
        );
    }
}
