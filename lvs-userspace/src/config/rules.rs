//! Lines of `ipvsadm -S`, read whole before anything changes.

use std::fmt;
use std::path::{Path, PathBuf};

use lvs_common::abi::{MAX_SERVERS, MAX_SERVICES};

use crate::cli::restore::parse_line;
use crate::control::protocol::{Edit, MarkRule, Refusal, Timeouts};
use crate::director::{Wanted, after, canonical_service, subject};
use crate::model::ServiceId;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// All services, in the order of the file.
    pub services: Vec<(ServiceId, Wanted)>,
    /// Timeouts, if any line sets them.
    pub timeouts: Option<Timeouts>,
    /// Which packets carry which firewall mark.
    pub marks: Vec<MarkRule>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Lines of it are wrong.
    #[error("the configuration {} is wrong, nothing was changed:{}", path.display(), Lines(lines))]
    Lines {
        /// Which file.
        path: PathBuf,
        /// Line numbers, from 1, and what is wrong with each.
        lines: Vec<(usize, String)>,
    },
}

struct Lines<'a>(&'a [(usize, String)]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(number, error)| write!(f, "\n  line {number}: {error}"))
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Configuration, Error> {
    let path = path.to_owned();
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).map_err(|lines| Error::Lines { path, lines }),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// What the lines make of nothing, or everything that is wrong with them.
pub fn parse(text: &str) -> Result<Configuration, Vec<(usize, String)>> {
    let mut configuration = Configuration::default();
    let mut errors = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let outcome = match parse_line(line) {
            Ok(None) => Ok(()),
            Ok(Some(edit)) => configuration
                .apply(&edit)
                .map_err(|refusal| refusal.message),
            Err(error) => Err(error.to_string().trim_end().to_owned()),
        };
        errors.extend(outcome.err().map(|message| (number, message)));
    }
    if errors.is_empty() {
        Ok(configuration)
    } else {
        Err(errors)
    }
}

impl Configuration {
    fn apply(&mut self, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::SetTimeouts(set) => {
                let before = self.timeouts.unwrap_or(Timeouts {
                    tcp: 0,
                    tcp_fin: 0,
                    udp: 0,
                });
                let newer = |new, old| if new == 0 { old } else { new };
                self.timeouts = Some(Timeouts {
                    tcp: newer(set.tcp, before.tcp),
                    tcp_fin: newer(set.tcp_fin, before.tcp_fin),
                    udp: newer(set.udp, before.udp),
                });
                return Ok(());
            }
            Edit::Mark(rule) => {
                self.marks.retain(|other| {
                    (other.protocol, other.address) != (rule.protocol, rule.address)
                });
                self.marks.extend((rule.mark != 0).then_some(*rule));
            }
            Edit::Flush => self.services.clear(),
            // Counters are not part of what is configured.
            Edit::Zero { .. } => {}
            edit => {
                let Some(id) = subject(edit).map(canonical_service) else {
                    return Ok(());
                };
                let place = self.services.iter().position(|(service, _)| *service == id);
                let current = place
                    .and_then(|place| self.services.get(place))
                    .map(|(_, wanted)| wanted);
                match (after(current, edit)?, place) {
                    (Some(wanted), None) => self.services.push((id, wanted)),
                    (Some(wanted), Some(place)) => self.services[place].1 = wanted,
                    (None, Some(place)) => drop(self.services.remove(place)),
                    (None, None) => {}
                }
            }
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), Refusal> {
        let servers: usize = self
            .services
            .iter()
            .map(|(_, wanted)| wanted.servers.len())
            .sum();
        if self.services.len() > MAX_SERVICES as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_SERVICES} virtual services at most"
            )));
        }
        if servers > MAX_SERVERS as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_SERVERS} real servers at most"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_save_make_services() {
        let text = "\
# web
-A -t 192.0.2.10:80 -s wlc
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3
-a -t 192.0.2.10:80 -r 10.0.0.2:8080 -m -w 1

-A -u [2001:db8::1]:53 -s rr
--set 600 0 20
";
        let configuration = parse(text).unwrap();
        assert_eq!(configuration.services.len(), 2);
        assert_eq!(configuration.services[0].1.servers.len(), 2);
        assert_eq!(
            configuration.timeouts,
            Some(Timeouts {
                tcp: 600,
                tcp_fin: 0,
                udp: 20
            })
        );
    }

    #[test]
    fn all_errors_are_told_with_their_lines() {
        let text =
            "-A -t 192.0.2.10:80 -s fifo\n-A -t 192.0.2.11:80\n-A -t 192.0.2.11:80\n-L\nnonsense\n";
        let lines = parse(text).unwrap_err();
        assert_eq!(
            lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [1, 3, 4, 5]
        );
        assert!(lines[0].1.contains("fifo"), "{lines:?}");
    }

    #[test]
    fn a_server_needs_its_service_above() {
        assert!(parse("-a -t 192.0.2.10:80 -r 10.0.0.1").is_err());
    }
}
