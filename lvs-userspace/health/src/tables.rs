//! From the desired state of a virtual service to edits of the director's tables, in ldirectord's words. Pure.
//!
//! Only what changed is touched: what an operator did by hand stays until the server's state changes, but a service that was
//! deleted is added by a reload.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use lvs_api::model::{Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings};
use lvs_api::protocol::Edit;
use lvs_dataplane::director::Wanted;

/// The reason for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A server of the file.
    Real,
    /// A fallback server.
    Fallback,
    /// Not in the file: found in the tables.
    Unknown,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real | Self::Unknown => "real server",
            Self::Fallback => "fallback server",
        })
    }
}

/// An entry of a real server in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its reason.
    pub(crate) role: Role,
    /// Forwarding method, weight, thresholds.
    pub(crate) settings: ServerSettings,
}

impl Entry {
    /// Returns whether new connections are scheduled to it.
    pub(crate) const fn serves(&self) -> bool {
        self.settings.weight > 0
    }
}

/// The state that the tables are to have for one virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    /// Scheduler, persistence and so on.
    pub(crate) settings: ServiceSettings,
    /// Its entries.
    pub(crate) servers: BTreeMap<ServerId, Entry>,
}

/// A step from one desired state to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// The virtual service.
    pub(crate) service: ServiceId,
    /// The state desired before; by-hand changes made since then are kept.
    pub(crate) before: Arc<Desired>,
    /// The state desired now; none: the service is withdrawn.
    pub(crate) after: Option<Arc<Desired>>,
    /// The settings of the service are compared with those in the tables, too.
    pub(crate) dirty_settings: bool,
    /// An entry of weight 0 is made again where somebody deleted it.
    pub(crate) readd: bool,
    /// `start`, `stop` or `reload`, as the lines about purged entries name it.
    pub(crate) phase: &'static str,
}

/// A change of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The real server.
    pub(crate) server: ServerId,
    /// The reason for its entry.
    pub(crate) role: Role,
    /// Desired before; none: no entry.
    pub(crate) before: Option<ServerSettings>,
    /// Desired now.
    pub(crate) after: Option<ServerSettings>,
}

impl Update {
    /// Returns whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        !self.dirty_settings && self.after.as_ref() == Some(&self.before)
    }

    /// The entries that differ, new ones first: at no moment is a service without servers. None of a
    /// service that is withdrawn.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let Some(desired) = &self.after else {
            return Vec::new();
        };
        let (before, after) = (&self.before.servers, &desired.servers);
        let there = after.iter().filter_map(|(id, entry)| {
            let earlier = before.get(id);
            (earlier != Some(entry)).then(|| Change {
                server: *id,
                role: entry.role,
                before: earlier.map(|entry| entry.settings),
                after: Some(entry.settings),
            })
        });
        let gone = before.iter().filter(|(id, _)| !after.contains_key(id));
        let gone = gone.map(|(id, entry)| Change {
            server: *id,
            role: entry.role,
            before: Some(entry.settings),
            after: None,
        });
        there.chain(gone).collect()
    }
}

/// A line of the log, and the server it is about.
pub(crate) type Line = (Option<SocketAddr>, String);

/// The edits that carry out an update, given what the tables hold, and a line of the log for each.
pub(crate) fn edits(update: &Update, current: Option<&Wanted>) -> (Vec<Edit>, Vec<Line>) {
    let service = update.service;
    let name = Name(service);
    let mut edits = Vec::new();
    let mut lines = Vec::new();
    match (&update.after, current) {
        (None, None) => {}
        (None, Some(current)) => {
            let phase = update.phase;
            for (server, _) in current.servers.iter().rev() {
                let text = format!("Purged real server ({phase}): {} ({name})", server.0);
                lines.push((Some(server.0), text));
            }
            edits.push(Edit::DeleteService { service });
            lines.push((None, format!("Purged virtual server ({phase}): {name}")));
        }
        // Somebody deleted it by hand, or it is new.
        (Some(desired), None) => {
            let settings = desired.settings.clone();
            edits.push(Edit::AddService { service, settings });
            lines.push((None, format!("Added virtual server: {name}")));
            for (server, entry) in &desired.servers {
                edits.push(add(service, *server, entry.settings));
                let line = weight_line("Added", entry.role, *server, name, &entry.settings);
                lines.push(line);
            }
        }
        (Some(desired), Some(current)) => {
            if update.dirty_settings && desired.settings != current.settings {
                let settings = desired.settings.clone();
                edits.push(Edit::EditService { service, settings });
                lines.push((None, format!("Changed virtual server: {name}")));
            }
            for change in update.changes() {
                let found = current.servers.iter().find(|(id, _)| *id == change.server);
                let present = found.map(|(_, settings)| *settings);
                if let Some((edit, line)) = entry(update, &change, present) {
                    edits.push(edit);
                    lines.push(line);
                }
            }
        }
    }
    (edits, lines)
}

/// The edit for one entry; `present` is what the tables have.
fn entry(
    update: &Update,
    change: &Change,
    present: Option<ServerSettings>,
) -> Option<(Edit, Line)> {
    let (service, readd) = (update.service, update.readd);
    let (server, role, name) = (change.server, change.role, Name(service));
    let Some(after) = change.after else {
        present?;
        let purged = format!("Purged real server ({})", update.phase);
        let what = match role {
            Role::Unknown => purged,
            role => format!("Deleted {role}"),
        };
        let edit = Edit::DeleteServer { service, server };
        return Some((
            edit,
            (Some(server.0), format!("{what}: {} ({name})", server.0)),
        ));
    };
    let Some(present) = present else {
        let verb = match change.before {
            // Somebody deleted it by hand.
            Some(before) if (before.weight == 0) == (after.weight == 0) && !readd => return None,
            Some(before) if before.weight > 0 && after.weight == 0 && !readd => return None,
            Some(_) if after.weight == 0 => "Readd Quiescent",
            _ => "Added",
        };
        let line = weight_line(verb, role, server, name, &after);
        return Some((add(service, server, after), line));
    };
    if present == after {
        return None;
    }
    let verb = match (present.weight, after.weight) {
        (1.., 0) => "Quiescent",
        (0, 1..) => "Restored",
        _ => "Changed",
    };
    let edit = Edit::EditServer {
        service,
        server,
        settings: after,
    };
    Some((edit, weight_line(verb, role, server, name, &after)))
}

fn add(service: ServiceId, server: ServerId, settings: ServerSettings) -> Edit {
    Edit::AddServer {
        service,
        server,
        settings,
    }
}

fn weight_line(
    verb: &str,
    role: Role,
    server: ServerId,
    name: Name,
    settings: &ServerSettings,
) -> Line {
    let weight = settings.weight;
    let text = format!(
        "{verb} {role}: {} ({name}) (Weight set to {weight})",
        server.0
    );
    (Some(server.0), text)
}

/// A virtual service as ldirectord's log names it: address and port, or the firewall mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name(pub(crate) ServiceId);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServiceId::Address { address, .. } => write!(f, "{address}"),
            ServiceId::Mark { mark, .. } => write!(f, "{mark}"),
        }
    }
}

/// Protocol of a service in ldirectord's words.
pub(crate) const fn protocol_name(service: &ServiceId) -> &'static str {
    match service {
        ServiceId::Mark { .. } => "fwm",
        ServiceId::Address { protocol, .. } => match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        },
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
