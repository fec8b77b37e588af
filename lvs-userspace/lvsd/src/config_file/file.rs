//! The configuration file of a daemon, of either kind.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use lvs_api::filter::Source;
use lvs_config::ldirectord::{Additions, Diagnostic, Queries, Reading, SourceFile};
use lvs_config::{Kind, kind_of, rules};
use lvs_dataplane::director::{Configuration, canonical_service};
use lvs_health::model;
use tracing::{debug, warn};

use super::watched::Watched;
use crate::lifecycle::Instance;

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub(crate) enum File {
    /// `ipvsadm -S` lines: the tables are made to hold exactly this.
    Rules(Configuration),
    /// `ldirectord.cf`: its services are checked and kept in the tables, others are left alone.
    Services(Box<model::Configuration>),
}

impl File {
    /// The `logfile` keyword.
    pub(crate) fn logfile(&self) -> Option<&str> {
        match self {
            Self::Rules(_) => None,
            Self::Services(services) => services.globals.logfile.as_deref(),
        }
    }
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Errors in rules.
    #[error(transparent)]
    Rules(#[from] rules::Error),
    /// Errors in an `ldirectord.cf`, one in each line.
    #[error("the configuration is wrong, nothing was changed:\n{}", .0.join("\n"))]
    Lines(Vec<String>),
    /// A file of rules that became an `ldirectord.cf`, or the reverse.
    #[error("{} has become a file of another kind: restart the daemon to use it", .0.display())]
    OtherKind(PathBuf),
}

/// Reads a file and those that it names by `execute`. Warnings go to the log. `check_user`: as for
/// [`SourceFile::read`].
pub(crate) fn read(path: &Path, check_user: Option<&str>) -> Result<File, Error> {
    read_all(path, check_user).map(|(file, ..)| file)
}

/// Reads a file like [`read`], and returns all files that were read, as they were.
///
/// ldirectord runs a process for each such file. Here one daemon has the data path, and a service lies in
/// the tables once: so one daemon serves all files. It is started, stopped and reloaded with the first file,
/// and follows the globals of that file.
pub(crate) fn read_all(
    path: &Path,
    check_user: Option<&str>,
) -> Result<(File, Vec<Watched>, Sources), Error> {
    let mut files = vec![Watched::new(path)];
    let mut sources = Sources::default();
    if kind_of(path).map_err(unreadable(path))? == Kind::Rules {
        return Ok((File::Rules(rules::read(path)?), files, sources));
    }
    let mut services = sources.read(path, check_user)?;
    let mut known = HashSet::from([path.to_owned()]);
    let mut waiting = services.globals.execute.clone();
    while let Some(name) = waiting.pop() {
        let missing = || Error::Lines(vec![format!("execute: Config file {name} not found")]);
        let further = Instance::new(Some(&name)).find().ok_or_else(missing)?;
        // It may name the one that names it.
        if !known.insert(further.clone()) {
            continue;
        }
        files.push(Watched::new(&further));
        let mut more = sources.read(&further, check_user)?;
        if let Some(twice) = more.virtuals.iter().find(|one| {
            let mut all = services.virtuals.iter();
            all.any(|other| canonical_service(&other.id) == canonical_service(&one.id))
        }) {
            let (name, line) = (further.display(), twice.line);
            let line =
                format!("Error reading file {name} at line {line}: duplicate virtual server");
            return Err(Error::Lines(vec![line]));
        }
        services.virtuals.append(&mut more.virtuals);
        waiting.append(&mut more.globals.execute);
    }
    files.extend(
        prefix_files(&services)
            .iter()
            .map(|path| Watched::new(path)),
    );
    Ok((File::Services(Box::new(services)), files, sources))
}

/// All files of a daemon as they were read.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<(PathBuf, SourceFile)>);

impl Sources {
    /// Reads a further file. Warnings go to the log.
    fn read(
        &mut self,
        path: &Path,
        check_user: Option<&str>,
    ) -> Result<model::Configuration, Error> {
        let source = SourceFile::read(path, check_user).map_err(unreadable(path))?;
        let configuration = checked(path, source.build(&Additions::default()), true)?;
        self.0.push((path.to_owned(), source));
        Ok(configuration)
    }

    /// The names whose addresses are real servers; the name server is that of the first file.
    pub(crate) fn queries(&self) -> Queries {
        let mut all = Queries::default();
        for (number, (_, source)) in self.0.iter().enumerate() {
            let Queries { nameserver, names } = source.queries();
            if number == 0 {
                all.nameserver = nameserver;
            }
            all.names.extend(names);
        }
        all.names.sort_unstable();
        all.names.dedup();
        all
    }

    /// The configuration, with these real servers beside those of the files.
    pub(crate) fn build(&self, additions: &Additions) -> Result<model::Configuration, Error> {
        let mut all = model::Configuration::default();
        for (number, (path, source)) in self.0.iter().enumerate() {
            let mut one = checked(path, source.build(additions), false)?;
            if number == 0 {
                all.globals = one.globals;
            }
            all.virtuals.append(&mut one.virtuals);
        }
        Ok(all)
    }
}

/// The files of prefixes that filters name.
fn prefix_files(services: &model::Configuration) -> BTreeSet<PathBuf> {
    let filters = services
        .virtuals
        .iter()
        .filter_map(|service| service.settings.filter.as_ref());
    filters
        .flat_map(|filter| {
            let sources = filter.allow.iter().flatten().chain(&filter.deny);
            sources.filter_map(|source| match source {
                Source::File(file) => Some(file.file.clone()),
                Source::Prefix(_) => None,
            })
        })
        .collect()
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Read {
        path: path.to_owned(),
        source,
    }
}

/// The configuration of a file without errors. `tell`: its warnings go to the log.
fn checked(path: &Path, reading: Reading, tell: bool) -> Result<model::Configuration, Error> {
    let line = |word: &str, diagnostic: &Diagnostic| {
        let (process, line) = (std::process::id(), diagnostic.line);
        let path = path.display();
        format!("{word} [{process}] reading file {path} at line {line}: {diagnostic}")
    };
    let (errors, warnings): (Vec<_>, Vec<_>) = reading
        .diagnostics
        .iter()
        .partition(|diagnostic| diagnostic.is_error());
    for warning in warnings.into_iter().filter(|_| tell) {
        if warning.harmless {
            debug!("{}", line("Warning", warning));
        } else {
            warn!("{}", line("Warning", warning));
        }
    }
    reading.configuration.ok_or_else(|| {
        let errors = errors.into_iter();
        Error::Lines(errors.map(|error| line("Error", error)).collect())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn service(port: u16) -> String {
        format!("virtual=192.0.2.1:{port}\n\treal=10.0.0.1:80 gate\n\tservice=none\n")
    }

    fn ports(file: File) -> Vec<u16> {
        let File::Services(services) = file else {
            panic!("no services: {file:?}");
        };
        let port = |id: &lvs_api::model::ServiceId| match id {
            lvs_api::model::ServiceId::Address { address, .. } => address.port(),
            lvs_api::model::ServiceId::Mark { .. } => 0,
        };
        let ports = services.virtuals.iter().map(|service| port(&service.id));
        ports.collect()
    }

    #[test]
    fn files_that_are_named_by_execute_are_one_with_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let execute = |name: &str| format!("execute={}\n", path(name).display());
        // Each names the other.
        fs::write(path("a.cf"), execute("b.cf") + &service(80)).unwrap();
        fs::write(path("b.cf"), execute("a.cf") + &service(81)).unwrap();
        assert_eq!(ports(read(&path("a.cf"), None).unwrap()), [80, 81]);
        assert_eq!(ports(read(&path("b.cf"), None).unwrap()), [81, 80]);
        fs::write(path("b.cf"), service(80)).unwrap();
        let error = read(&path("a.cf"), None).unwrap_err().to_string();
        assert!(error.contains("b.cf at line 1: duplicate"), "{error}");
        fs::remove_file(path("b.cf")).unwrap();
        let error = read(&path("a.cf"), None).unwrap_err().to_string();
        assert!(error.contains("b.cf not found"), "{error}");
    }
}
