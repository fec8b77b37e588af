//! `ldirectord.cf`: the file of the controller.
//!
//! A text goes through four steps: [`lines`] takes comments away, [`reader`] finds the keyword of each
//! line in the one table of all keywords and reads its value, [`names`] looks hosts up, [`build`] fills
//! in what is inherited or left out. Each step reports everything that is wrong and goes on, so that all
//! errors are seen at once. A file that ldirectord accepts means the same here; where something else is
//! done, the place says why.

mod additions;
mod address;
mod build;
mod builder;
mod check_line;
mod checks;
mod diagnostic;
mod foreign;
mod keywords;
mod lines;
mod lint;
mod names;
mod options;
mod page;
mod preset;
mod reader;
mod server_line;
mod servers;
mod settings;
mod values;

use std::collections::HashSet;
use std::io;
use std::path::Path;

use lvs_health::model::Configuration;
use lvs_process::user::User;

pub use self::additions::{Additions, ByHand, Found, Queries, Query};
pub use self::diagnostic::{Diagnostic, Severity};
pub use self::names::Resolver;
pub use self::page::reference;
use crate::text;

/// User of commands for which the file names none.
const DEFAULT_USER: &str = "nobody";

/// The meaning of a file, and its diagnostics.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its meaning; none: there are errors.
    pub configuration: Option<Configuration>,
    /// Errors and warnings, in the order of their lines.
    pub diagnostics: Vec<Diagnostic>,
    /// Advice that is no warning, for `lvsd check`.
    pub advice: Option<&'static str>,
}

/// A file as it was read, with the addresses of its hosts: from it configurations are made, with other real servers
/// beside those of the file.
#[derive(Debug)]
pub struct SourceFile {
    file: reader::File,
    names: names::Names,
    /// User of commands for which the file names none.
    check_user: Option<User>,
}

impl SourceFile {
    /// Reads a file. Host names are looked up, which may take as long as the resolver takes. `check_user`: the user of
    /// commands for which the file names none, if that is not the usual one.
    pub fn read(path: &Path, check_user: Option<&str>) -> io::Result<Self> {
        // Whether there is such a user is for those to say that need one.
        let check_user = User::find(check_user.unwrap_or(DEFAULT_USER)).ok();
        let file = Self::of(&text::read(path)?, &names::system);
        Ok(Self { check_user, ..file })
    }

    fn of(text: &str, resolver: Resolver<'_>) -> Self {
        let mut file = reader::read(text);
        preset::apply(&mut file);
        let names = names::Names::of(&file, resolver);
        let check_user = User::find(DEFAULT_USER).ok();
        Self {
            file,
            names,
            check_user,
        }
    }

    /// The names whose addresses are real servers.
    pub fn queries(&self) -> Queries {
        names::queries(&self.file)
    }

    /// The configuration, with these real servers beside those of the file.
    pub fn build(&self, additions: &Additions) -> Reading {
        let mut diagnostics = self.file.diagnostics.clone();
        let mut configuration = build::build(&self.file, &self.names, additions, &mut diagnostics);
        let wrong = diagnostics.iter().any(Diagnostic::is_error);
        if !wrong {
            let user = self.check_user.as_ref();
            lint::lint(&self.file, user, &mut configuration, &mut diagnostics);
        }
        diagnostics.sort_by_key(|diagnostic| diagnostic.line);
        // A problem that the servers of a virtual service share is reported once.
        let mut reported = HashSet::new();
        diagnostics
            .retain(|diagnostic| reported.insert((diagnostic.line, diagnostic.problem.clone())));
        Reading {
            configuration: (!wrong).then_some(configuration),
            diagnostics,
            advice: preset::advice(&self.file),
        }
    }
}

/// The further files that a file names by `execute`, and the lines that do. Nothing is looked up.
pub fn executed(path: &Path) -> io::Result<Vec<(usize, String)>> {
    let file = reader::read(&text::read(path)?);
    Ok(build::executed(&file.globals))
}

/// Reads a text. Host names are looked up.
pub fn parse(text: &str) -> Reading {
    parse_with(text, &names::system)
}

/// Reads a text, with other means to look host names up.
pub fn parse_with(text: &str, resolver: Resolver<'_>) -> Reading {
    SourceFile::of(text, resolver).build(&Additions::default())
}

#[cfg(test)]
mod tests;
