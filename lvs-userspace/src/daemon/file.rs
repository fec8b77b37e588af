//! The configuration file of a daemon, of either kind.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::ldirectord::{self, Diagnostic};
use crate::config::{Kind, kind_of, rules};

/// What a file says.
#[derive(Clone, Debug)]
pub enum File {
    /// `ipvsadm -S` lines: the tables are made to hold exactly this.
    Rules(rules::Configuration),
    /// `ldirectord.cf`: its services are looked after, others are left alone.
    Services(Box<ldirectord::Configuration>),
}

impl File {
    /// `logfile`, if it says so.
    pub fn logfile(&self) -> Option<&str> {
        match self {
            Self::Rules(_) => None,
            Self::Services(services) => services.globals.logfile.as_deref(),
        }
    }
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
    /// Its rules are wrong.
    #[error(transparent)]
    Rules(#[from] rules::Error),
    /// Lines of it are wrong.
    #[error("the configuration is wrong, nothing was changed:\n{}", .0.join("\n"))]
    Lines(Vec<String>),
    /// It was rules before, and is an `ldirectord.cf` now, or the other way round.
    #[error("{} has become a file of another kind: restart the daemon to use it", .0.display())]
    OtherKind(PathBuf),
}

/// Reads a file whole; what is doubtful in it goes to the log.
pub fn read(path: &Path) -> Result<File, Error> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    if kind_of(path).map_err(unreadable)? == Kind::Rules {
        return Ok(File::Rules(rules::read(path)?));
    }
    let reading = ldirectord::read(path).map_err(unreadable)?;
    let line = |word: &str, diagnostic: &Diagnostic| {
        let (process, line) = (std::process::id(), diagnostic.line);
        let path = path.display();
        format!("{word} [{process}] reading file {path} at line {line}: {diagnostic}")
    };
    let (errors, warnings): (Vec<_>, Vec<_>) = reading
        .diagnostics
        .iter()
        .partition(|diagnostic| diagnostic.is_error());
    for warning in warnings {
        warn!("{}", line("Warning", warning));
    }
    match reading.configuration {
        Some(configuration) => Ok(File::Services(Box::new(configuration))),
        None => Err(Error::Lines(
            errors
                .into_iter()
                .map(|error| line("Error", error))
                .collect(),
        )),
    }
}
