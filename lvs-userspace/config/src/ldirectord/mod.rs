//! `ldirectord.cf`: the file of the controller.
//!
//! A text goes through four steps: [`lines`] takes comments away, [`reader`] finds the keyword of each
//! line in the one table of all keywords and reads its value, [`names`] looks hosts up, [`build`] fills
//! in what is inherited or left out. Each step reports everything that is wrong and goes on, so that all
//! errors are seen at once. A file that ldirectord accepts means the same here; where something else is
//! done, the place says why.

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

pub use self::diagnostic::{Diagnostic, Severity};
pub use self::names::Resolver;
pub use self::page::reference;
use crate::text;

/// The meaning of a file, and its diagnostics.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its meaning; none: there are errors.
    pub configuration: Option<Configuration>,
    /// Errors and warnings, in the order of their lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a file. Host names are looked up, which may take as long as the resolver takes.
pub fn read(path: &Path) -> io::Result<Reading> {
    Ok(parse(&text::read(path)?))
}

/// Reads a text. Host names are looked up.
pub fn parse(text: &str) -> Reading {
    parse_with(text, &names::system)
}

/// Reads a text, with other means to look host names up.
pub fn parse_with(text: &str, resolver: Resolver<'_>) -> Reading {
    let mut file = reader::read(text);
    preset::apply(&mut file);
    let mut diagnostics = std::mem::take(&mut file.diagnostics);
    let names = names::Names::of(&file, resolver);
    let mut configuration = build::build(&file, &names, &mut diagnostics);
    let wrong = diagnostics.iter().any(Diagnostic::is_error);
    if !wrong {
        lint::lint(&file, &mut configuration, &mut diagnostics);
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.line);
    // A problem that the servers of a virtual service share is reported once.
    let mut reported = HashSet::new();
    diagnostics.retain(|diagnostic| reported.insert((diagnostic.line, diagnostic.problem.clone())));
    Reading {
        configuration: (!wrong).then_some(configuration),
        diagnostics,
    }
}

#[cfg(test)]
mod tests;
