//! From what a controller wants of a service to edits of the director's tables, in ldirectord's words.
//!
//! Only what changed is touched: what an operator did by hand stays until the server's state changes.

use std::fmt;
use std::net::SocketAddr;

use lvs_api::model::{Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings};
use lvs_api::protocol::Edit;
use lvs_dataplane::director::Wanted;

/// What a real server's entry is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server of the file.
    Real,
    /// A fallback server.
    Fallback,
    /// None that the file knows.
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

/// A change of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub server: ServerId,
    /// What for.
    pub role: Role,
    /// What the controller had wanted; none: no entry.
    pub before: Option<ServerSettings>,
    /// What it wants now.
    pub after: Option<ServerSettings>,
}

/// What is to become of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It is there, with these settings.
    Kept {
        /// Its settings, if they are to be looked at.
        settings: Option<ServiceSettings>,
        /// Changes of its entries.
        changes: Vec<Change>,
    },
    /// It is withdrawn.
    Withdrawn,
}

/// Everything that is wanted of a service, for when somebody has deleted it by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its settings.
    pub settings: ServiceSettings,
    /// Its entries.
    pub entries: Vec<(ServerId, Role, ServerSettings)>,
}

/// A line of the log, and the server it is about.
pub type Line = (Option<SocketAddr>, String);

/// The edits that make a wish true, given what is in the tables, and a line for each.
///
/// With `readd`, an entry of weight 0 is made again where somebody deleted it; `phase` stands in
/// the lines about what is purged: `start`, `stop`.
pub fn edits(
    service: &ServiceId,
    wish: &Wish,
    whole: &Whole,
    current: Option<&Wanted>,
    readd: bool,
    phase: &str,
) -> (Vec<Edit>, Vec<Line>) {
    let name = Name(*service);
    let mut edits = Vec::new();
    let mut lines = Vec::new();
    match (wish, current) {
        (Wish::Withdrawn, None) => {}
        (Wish::Withdrawn, Some(current)) => {
            for (server, _) in current.servers.iter().rev() {
                let text = format!("Purged real server ({phase}): {} ({name})", server.0);
                lines.push((Some(server.0), text));
            }
            edits.push(Edit::DeleteService { service: *service });
            lines.push((None, format!("Purged virtual server ({phase}): {name}")));
        }
        (Wish::Kept { .. }, None) => {
            edits.push(Edit::AddService {
                service: *service,
                settings: whole.settings.clone(),
            });
            lines.push((None, format!("Added virtual server: {name}")));
            for (server, role, settings) in &whole.entries {
                edits.push(add(service, *server, *settings));
                lines.push(weight_line("Added", *role, *server, name, settings));
            }
        }
        (Wish::Kept { settings, changes }, Some(current)) => {
            if let Some(settings) = settings.as_ref().filter(|s| **s != current.settings) {
                edits.push(Edit::EditService {
                    service: *service,
                    settings: settings.clone(),
                });
                lines.push((None, format!("Changed virtual server: {name}")));
            }
            for change in changes {
                let found = current.servers.iter().find(|(id, _)| *id == change.server);
                let present = found.map(|(_, settings)| *settings);
                if let Some((edit, line)) = entry(service, change, present, readd, phase) {
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
    service: &ServiceId,
    change: &Change,
    present: Option<ServerSettings>,
    readd: bool,
    phase: &str,
) -> Option<(Edit, Line)> {
    let (server, role, name) = (change.server, change.role, Name(*service));
    let Some(after) = change.after else {
        present?;
        let purged = format!("Purged real server ({phase})");
        let what = match role {
            Role::Unknown => purged,
            role => format!("Deleted {role}"),
        };
        let edit = Edit::DeleteServer {
            service: *service,
            server,
        };
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
        service: *service,
        server,
        settings: after,
    };
    Some((edit, weight_line(verb, role, server, name, &after)))
}

fn add(service: &ServiceId, server: ServerId, settings: ServerSettings) -> Edit {
    Edit::AddServer {
        service: *service,
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
pub struct Name(pub ServiceId);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServiceId::Address { address, .. } => write!(f, "{address}"),
            ServiceId::Mark { mark, .. } => write!(f, "{mark}"),
        }
    }
}

/// The word ldirectord has for a service's protocol.
pub const fn protocol_name(service: &ServiceId) -> &'static str {
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
