//! `status`: role, virtual services and real servers, for people or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use lvs_api::health::{AdminState, Health, ServerHealth, ServiceHealth, State};
use lvs_api::model::Family;
use lvs_api::peers::PeerStatus;
use lvs_api::protocol::{Table, Tracing};
use lvs_api::role::RoleStatus;
use serde::Serialize;

use super::colour::{painted, style};
use super::filter::{self, Filtered};
use super::{role, sync};

/// Status of the director; its JSON has `role`, `addresses`, `reach`, `services`, `tables`, `tracing`, `filters`, `peers`.
#[derive(Serialize)]
pub(super) struct Overview {
    #[serde(flatten)]
    pub(super) role: RoleStatus,
    #[serde(flatten)]
    pub(super) health: Health,
    /// The connection tables.
    pub(super) tables: Vec<Table>,
    /// Somebody traces packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracing: Option<Tracing>,
    /// Filters of virtual services, those that are not checked included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) filters: Vec<Filtered>,
    /// Other directors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) peers: Vec<PeerStatus>,
}

/// Prints the status for people.
pub(super) fn print(
    out: &mut impl Write,
    Overview {
        role,
        health,
        tables,
        tracing,
        filters,
        peers,
    }: &Overview,
    colour: bool,
) -> io::Result<()> {
    role::show(out, role, colour)?;
    for sentence in sync::differences(peers) {
        let text = painted(colour, &sentence, style(AnsiColor::Red));
        writeln!(out, "{text}")?;
    }
    if let Some(tracing) = tracing {
        let text = painted(colour, &traced(tracing), style(AnsiColor::Yellow));
        writeln!(out, "{text}")?;
    }
    writeln!(out)?;
    if health.services.is_empty() {
        writeln!(
            out,
            "lvsd checks no virtual service: it runs without a file of real servers to probe \
             (lvsd FILE start). `lvsadm -Ln` lists the services in the tables."
        )?;
        for filtered in filters {
            writeln!(out, "\n{}", filtered.id)?;
            filter::print(out, filtered)?;
        }
    }
    for (number, service) in health.services.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        print_service(out, service, colour)?;
        for filtered in filters.iter().filter(|filtered| filtered.id == service.id) {
            filter::print(out, filtered)?;
        }
    }
    if !tables.is_empty() {
        writeln!(out)?;
    }
    print_tables(out, tables, colour)
}

/// Sentence about those who trace packets.
pub(crate) fn traced(tracing: &Tracing) -> String {
    let who = match tracing.tracers {
        1 => "1 client traces".to_owned(),
        number => format!("{number} clients trace"),
    };
    let since = age(tracing.age);
    format!("{who} packets since {since}: packets take longer to handle")
}

/// Percent of its entries from which on a table is shown as filling.
const FILLING: u64 = 80;

fn print_tables(out: &mut impl Write, tables: &[Table], colour: bool) -> io::Result<()> {
    for table in tables {
        let family = match table.family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        };
        let percent = (table.entries * 100)
            .checked_div(table.capacity)
            .unwrap_or(0);
        let shade = if percent >= FILLING {
            style(AnsiColor::Red)
        } else {
            Style::new()
        };
        let percent = painted(colour, &format!("{percent} %"), shade);
        let (entries, capacity) = (table.entries, table.capacity);
        write!(
            out,
            "{family} connection table: {entries} of {capacity} entries, {percent}"
        )?;
        if let Some(service) = &table.over_share {
            write!(
                out,
                "; {service} holds more than its share and gets no more"
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn print_service(out: &mut impl Write, service: &ServiceHealth, colour: bool) -> io::Result<()> {
    let bold = painted(colour, &service.id.to_string(), Style::new().bold());
    write!(out, "{bold}")?;
    if let Some(name) = &service.name {
        write!(out, " {name}")?;
    }
    let up = |server: &&ServerHealth| server.state == State::Up;
    let count = service.servers.iter().filter(up).count();
    write!(out, "  {count} of {} up", service.servers.len())?;
    if service.quorum == Some(false) {
        let text = "below its quorum";
        write!(out, ", {}", painted(colour, text, style(AnsiColor::Red)))?;
    }
    if service.fallback {
        let text = "fallback in use";
        write!(out, ", {}", painted(colour, text, style(AnsiColor::Red)))?;
    }
    writeln!(out)?;

    for trouble in &service.names {
        let text = format!("  servers of {}: {}", trouble.name, trouble.reason);
        writeln!(out, "{}", painted(colour, &text, style(AnsiColor::Red)))?;
    }
    for sentence in &service.silent {
        let text = format!("  {sentence}");
        writeln!(out, "{}", painted(colour, &text, style(AnsiColor::Red)))?;
    }
    let names: Vec<_> = service.servers.iter().map(name).collect();
    let wide = names.iter().map(String::len).max().unwrap_or(0).max(11);
    writeln!(
        out,
        "  {:<wide$} {:<14} {:>10} {:>9} {:>7} {:>7}  Last probe",
        "Real server", "State", "Since", "Weight", "Active", "InAct"
    )?;
    for (server, name) in service.servers.iter().zip(names) {
        let (word, shade) = state(server);
        // Padded before it is painted: colours have no width.
        let word = painted(colour, &format!("{word:<14}"), shade);
        let last = if server.last.is_empty() {
            "not probed yet"
        } else {
            &server.last
        };
        writeln!(
            out,
            "  {name:<wide$} {word} {:>10} {:>9} {:>7} {:>7}  {last}",
            age(server.age),
            weight(server),
            server.active,
            server.inactive,
        )?;
    }
    for server in &service.unchecked {
        let word = painted(
            colour,
            &format!("{:<14}", "not checked"),
            style(AnsiColor::Yellow),
        );
        writeln!(
            out,
            "  {:<wide$} {word} {:>10} {:>9} {:>7} {:>7}  added by hand; lvsadm server … add --check has it checked",
            server.address.to_string(),
            "",
            server.weight,
            server.active,
            server.inactive,
        )?;
    }
    Ok(())
}

fn name(server: &ServerHealth) -> String {
    match &server.name {
        Some(name) => format!("{} ({name})", server.address),
        None => server.address.to_string(),
    }
}

/// Text of a server's state, the most important first, and its style.
fn state(server: &ServerHealth) -> (String, Style) {
    let (word, colour) = match (server.admin, server.state) {
        _ if server.maintenance => ("maintenance", AnsiColor::Blue),
        (AdminState::Maint, _) => ("maint", AnsiColor::Blue),
        (_, State::Down) => ("down", AnsiColor::Red),
        (AdminState::Drain, _) => ("drain", AnsiColor::Blue),
        (_, State::Unknown) => ("unknown", AnsiColor::Yellow),
        (_, State::Up) if server.towards > 0 => ("up", AnsiColor::Yellow),
        (_, State::Up) => ("up", AnsiColor::Green),
    };
    // As HAProxy shows a server on the way to the other state.
    let towards = match server.towards {
        0 => String::new(),
        towards => format!(" {towards}/{}", server.needed),
    };
    let backup = if server.backup { " backup" } else { "" };
    (format!("{word}{towards}{backup}"), style(colour))
}

/// Effective weight, and the configured one where it differs.
fn weight(server: &ServerHealth) -> String {
    match server.effective {
        None => format!("- of {}", server.configured),
        Some(effective) if effective == server.configured => effective.to_string(),
        Some(effective) => format!("{effective} of {}", server.configured),
    }
}

/// The two largest units of a time: `3days 2h`.
fn age(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let parts: Vec<_> = text.split(' ').take(2).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use lvs_api::role::{CarrierStatus, ReachStatus, Role};

    fn text(health: &Health, colour: bool) -> String {
        let overview = Overview {
            filters: Vec::new(),
            role: RoleStatus {
                role: Role::Master,
                addresses: Vec::new(),
                reach: ReachStatus::default(),
                carrier: CarrierStatus::default(),
            },
            health: health.clone(),
            tables: Vec::new(),
            tracing: None,
            peers: Vec::new(),
        };
        let mut out = Vec::new();
        print(&mut out, &overview, colour).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_virtual_service_and_server_is_shown_with_its_reason() {
        assert_eq!(
            text(&sample::health(), false),
            "\
This director is master

tcp 192.0.2.80:80 www  1 of 2 up
  Real server        State               Since    Weight  Active   InAct  Last probe
  10.0.10.1:80 (rs1) up                     2h        10      12       3  HTTP 200 after 3 ms
  10.0.10.2:80       down                   2h   - of 10       0       3  no connection in 2000 ms

udp [2001:db8::53]:53  1 of 1 up
  Real server      State               Since    Weight  Active   InAct  Last probe
  [2001:db8::1]:53 drain                  2h   0 of 10      12       3  not probed yet
"
        );
    }

    #[test]
    fn tables_are_shown_with_who_holds_too_much() {
        let table = |family, entries, over_share| Table {
            family,
            entries,
            capacity: 8_192,
            over_share,
        };
        let crowd = sample::health().services[0].id;
        let tables = [
            table(Family::Ipv4, 7_000, Some(crowd)),
            table(Family::Ipv6, 3, None),
        ];
        let mut out = Vec::new();
        print_tables(&mut out, &tables, false).expect("memory takes it");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
IPv4 connection table: 7000 of 8192 entries, 85 %; tcp 192.0.2.80:80 holds more than its share and gets no more
IPv6 connection table: 3 of 8192 entries, 0 %
"
        );
    }

    #[test]
    fn problems_stand_with_the_service() {
        let mut health = sample::health();
        health.services[0].quorum = Some(false);
        health.services[0].fallback = true;
        health.services[0].servers[0].towards = 1;
        health.services[0].servers[0].needed = 3;
        let shown = text(&health, false);
        assert!(
            shown.contains("1 of 2 up, below its quorum, fallback in use\n"),
            "{shown}"
        );
        assert!(shown.contains(" up 1/3 "), "{shown}");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = text(&sample::health(), false);
        let painted = text(&sample::health(), true);
        assert!(painted.contains("\x1b[31mdown"), "{painted}");
        let mut bare = String::new();
        let mut rest = painted.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            bare += before;
            rest = after.split_once('m').expect("the end of a colour").1;
        }
        assert_eq!(bare + rest, plain);
    }

    #[test]
    fn a_director_without_health_checks_says_so() {
        assert!(text(&Health::default(), false).contains("no virtual service"));
    }
}
