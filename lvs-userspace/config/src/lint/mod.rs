//! `lvsd check FILE`: validates a file, and prints the services that it sets up.

mod lines;
mod one_network;

use std::io::{self, Write};
use std::path::Path;

use lvs_dataplane::director::OwnNetworks;

use crate::ldirectord::{Additions, Queries, SourceFile};
use crate::{Kind, rules};

/// Exit code for a file that cannot be used, as ldirectord's.
pub const WRONG: u8 = 2;
/// Exit code for a file that cannot be read, as ldirectord's.
pub const UNREADABLE: u8 = 1;

/// Options of a validation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// A warning counts as an error.
    pub strict: bool,
    /// User of commands for which the file names none, if that is not the usual one.
    pub check_user: Option<&'a str>,
}

/// Validates a file: prints its services to `out` as lines of ipvsadm, as they are while every real server is
/// up, and errors and warnings to `problems`. `resolve` asks for the servers of names. Returns the exit code.
pub fn run(
    path: &Path,
    options: Options<'_>,
    resolve: &dyn Fn(&Queries) -> (Additions, Vec<String>),
    out: &mut impl Write,
    problems: &mut impl Write,
) -> io::Result<u8> {
    let name = path.display().to_string();
    let networks = OwnNetworks::of_this_machine();
    let kind = match crate::kind_of(path) {
        Ok(kind) => kind,
        Err(error) => {
            writeln!(problems, "cannot read {}: {error}", path.display())?;
            return Ok(UNREADABLE);
        }
    };
    match kind {
        Kind::Rules => match rules::read(path) {
            Ok(configuration) => {
                for advice in one_network::of_rules(&configuration, &networks) {
                    writeln!(problems, "{name}: advice: {advice}")?;
                }
                lines::of_rules(&configuration, out)?;
                Ok(0)
            }
            Err(error) => {
                writeln!(problems, "{error}")?;
                Ok(WRONG)
            }
        },
        Kind::Ldirectord => {
            let source = SourceFile::read(path, options.check_user)?;
            let (additions, troubles) = resolve(&source.queries());
            let reading = source.build(&additions);
            // Name servers may answer later: no warning of the file.
            for trouble in troubles {
                writeln!(problems, "{name}: {trouble}")?;
            }
            for diagnostic in &reading.diagnostics {
                writeln!(problems, "{}", diagnostic.text(&name))?;
            }
            let Some(configuration) = reading.configuration else {
                return Ok(WRONG);
            };
            let of_network = one_network::of_virtuals(&configuration, &networks);
            for advice in reading
                .advice
                .map(str::to_owned)
                .into_iter()
                .chain(of_network)
            {
                writeln!(problems, "{name}: advice: {advice}")?;
            }
            lines::of_virtuals(&configuration, out)?;
            let refused = options.strict && !reading.diagnostics.is_empty();
            Ok(if refused { WRONG } else { 0 })
        }
    }
}

#[cfg(test)]
mod tests;
