//! Lines of `ipvsadm -S`, read whole before anything changes.

use std::fmt;
use std::path::{Path, PathBuf};

use lvs_dataplane::director::Configuration;
use lvs_ipvsadm::restore::parse_line;

use super::text;

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Lines of it are wrong.
    #[error("the configuration {} is wrong, nothing was changed:{}", path.display(), Lines(lines))]
    Lines {
        /// The file.
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
    match text::read(&path) {
        Ok(text) => parse(&text).map_err(|lines| Error::Lines { path, lines }),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// The configuration that the lines make, or all that is wrong with them.
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

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_api::timeouts::Timeouts;

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
