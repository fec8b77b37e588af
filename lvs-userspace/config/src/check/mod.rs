//! `lvsd check FILE`: what is wrong with a file, and what it would set up.

mod lines;

use std::io::{self, Write};
use std::path::Path;

use crate::{Kind, ldirectord, rules};

/// The file cannot be used; as ldirectord's exit code.
pub const WRONG: u8 = 2;
/// The file cannot be read; as ldirectord's exit code.
pub const UNREADABLE: u8 = 1;

/// Reads a file, writes what it would set up to `out` as lines of ipvsadm, and what is wrong or
/// doubtful to `complaints`. The exit code: with `strict` a warning is as bad as an error.
///
/// What is set up is what the tables hold while every real server is up.
pub fn run(
    path: &Path,
    strict: bool,
    out: &mut impl Write,
    complaints: &mut impl Write,
) -> io::Result<u8> {
    let kind = match crate::kind_of(path) {
        Ok(kind) => kind,
        Err(error) => {
            writeln!(complaints, "cannot read {}: {error}", path.display())?;
            return Ok(UNREADABLE);
        }
    };
    match kind {
        Kind::Rules => match rules::read(path) {
            Ok(configuration) => {
                lines::of_rules(&configuration, out)?;
                Ok(0)
            }
            Err(error) => {
                writeln!(complaints, "{error}")?;
                Ok(WRONG)
            }
        },
        Kind::Ldirectord => {
            let reading = ldirectord::read(path)?;
            let name = path.display().to_string();
            for diagnostic in &reading.diagnostics {
                writeln!(complaints, "{}", diagnostic.text(&name))?;
            }
            let Some(configuration) = reading.configuration else {
                return Ok(WRONG);
            };
            lines::of_virtuals(&configuration, out)?;
            let doubtful = strict && !reading.diagnostics.is_empty();
            Ok(if doubtful { WRONG } else { 0 })
        }
    }
}

#[cfg(test)]
mod tests;
