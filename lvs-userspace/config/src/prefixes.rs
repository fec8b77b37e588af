//! Files of prefixes, for the lists of filters: a prefix on each line. `#` and `;` begin comments.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvs_api::filter::{Filter, Prefix, WrongPrefix};

use super::text;

/// Lines that an error names at most.
const NAMED: usize = 10;

/// The reason why a file of prefixes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read the prefixes in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Lines of it are wrong.
    #[error("the prefixes in {} are wrong: {}", path.display(), Lines(lines))]
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
        for (place, (number, error)) in self.0.iter().take(NAMED).enumerate() {
            let before = if place == 0 { "" } else { "; " };
            write!(f, "{before}line {number}: {error}")?;
        }
        match self.0.len().checked_sub(NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "; and {more} more lines"),
        }
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Arc<[Prefix]>, Error> {
    let text = text::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|lines| Error::Lines {
        path: path.to_owned(),
        lines,
    })
}

/// The prefixes of a text, or all that is wrong with its lines.
fn parse(text: &str) -> Result<Arc<[Prefix]>, Vec<(usize, String)>> {
    let mut prefixes = Vec::new();
    let mut errors = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.split(['#', ';']).next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match line.parse() {
            Ok(prefix) => prefixes.push(prefix),
            // Not what the line has: whoever may set a filter may name any file of the machine.
            Err(WrongPrefix { kind, .. }) => errors.push((number, kind.to_string())),
        }
    }
    if errors.is_empty() {
        Ok(prefixes.into())
    } else {
        Err(errors)
    }
}

/// Reads all files of a filter, each once. With an error the filter keeps what it had.
pub fn load(filter: &mut Filter) -> Result<(), Error> {
    let mut read_files: HashMap<PathBuf, Arc<[Prefix]>> = HashMap::new();
    for file in filter.files() {
        if !read_files.contains_key(&file.file) {
            read_files.insert(file.file.clone(), read(&file.file)?);
        }
    }
    for file in filter.files() {
        if let Some(prefixes) = read_files.get(&file.file) {
            file.prefixes = Arc::clone(prefixes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lvs_api::filter::{PrefixFile, Source};

    use super::*;

    #[test]
    fn a_file_has_a_prefix_on_each_line() {
        let text =
            "\u{feff}# ours\r\n192.0.2.0/24\r\n\n  2001:db8::/32  ; theirs\n198.51.100.7 # one\n";
        let prefixes = parse(text).unwrap();
        let texts: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]);
        assert_eq!(parse("").unwrap().len(), 0);
    }

    #[test]
    fn errors_name_their_lines_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deny");
        let mut filter = Filter {
            deny: vec![Source::File(PrefixFile::new(path.clone()))],
            ..Filter::default()
        };
        let missing = load(&mut filter).unwrap_err().to_string();
        assert!(missing.contains("No such file"), "{missing}");
        std::fs::write(&path, "192.0.2.0/24\n").unwrap();
        load(&mut filter).unwrap();
        let before = filter.clone();
        assert_eq!(before.deny[0].prefixes().len(), 1);
        std::fs::write(&path, "192.0.2.0/24\n192.0.2.7/24\n\nhost\n").unwrap();
        let error = load(&mut filter).unwrap_err().to_string();
        assert!(
            error.contains("line 2: has bits beyond its length"),
            "{error}"
        );
        assert!(error.contains("line 4: is no prefix"), "{error}");
        assert!(
            !error.contains("192.0.2.7") && !error.contains("host"),
            "{error}"
        );
        assert_eq!(filter, before);
        std::fs::write(&path, "x\n".repeat(15)).unwrap();
        let error = load(&mut filter).unwrap_err().to_string();
        assert!(error.contains("and 5 more lines"), "{error}");
        assert!(
            load(&mut Filter {
                deny: vec![Source::File(PrefixFile::new(folder.path().to_owned()))],
                ..Filter::default()
            })
            .is_err()
        );
    }
}
