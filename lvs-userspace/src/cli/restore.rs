//! Lines of `ipvsadm -S`: what `-R` reads, and the daemon's configuration file.

use std::path::Path;

use thiserror::Error;

use super::command::{Command, Invocation};
use super::error::UsageError;
use super::parse::parse;
use crate::control::protocol::Edit;

/// Why a line is no edit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    /// Not a command line at all.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A command that changes nothing.
    #[error("only commands that change something can stand here (-A -E -D -C -a -e -d -Z --set)")]
    NotAnEdit,
}

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line in it is wrong.
    #[error("{path}, line {number}: {}", source.to_string().trim_end())]
    Line {
        /// Which file.
        path: String,
        /// Which line, from 1.
        number: usize,
        /// What is wrong.
        source: LineError,
    },
}

/// The edit that a line of a configuration file stands for; `None` if it is blank or a comment (`#`).
pub fn parse_line(line: &str) -> Result<Option<Edit>, LineError> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let words = words(line);
    if words.is_empty() {
        return Ok(None);
    }
    match parse("ipvsadm", words) {
        Ok(Invocation {
            socket: None,
            command: Command::Edit(edit),
        }) => Ok(Some(edit)),
        Ok(_) | Err(UsageError::NoCommand(_)) => Err(LineError::NotAnEdit),
        Err(error) => Err(error.into()),
    }
}

/// All edits of a configuration file; `name` is what messages call it.
pub fn parse_text(name: &str, text: &str) -> Result<Vec<Edit>, FileError> {
    let mut edits = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let edit = parse_line(line).map_err(|source| FileError::Line {
            path: name.to_owned(),
            number: index + 1,
            source,
        })?;
        edits.extend(edit);
    }
    Ok(edits)
}

/// All edits of a configuration file.
pub fn parse_file(path: &Path) -> Result<Vec<Edit>, FileError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: name.clone(),
        source,
    })?;
    parse_text(&name, &text)
}

/// The words of a line, without the program's name that may begin it. There is no quoting.
pub(super) fn words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .skip_while(|word| *word == "ipvsadm")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_hold_comments_and_blank_lines() {
        let edits = parse_text(
            "lvs.rules",
            "# the web\n\nipvsadm -A -t 192.0.2.10:80 -s rr\n  # and its server\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m\n",
        )
        .expect("a good file");
        assert_eq!(edits.len(), 2);
    }

    #[test]
    fn an_error_names_file_and_line() {
        for (text, expected) in [
            (
                "-C\n-A -t 1.2.3.4:80x\n",
                "f, line 2: illegal virtual server address[:port] specified",
            ),
            (
                "\n\nfoo\n",
                "f, line 3: only commands that change something can stand here (-A -E -D -C -a -e -d -Z --set)",
            ),
            ("-A -f 1 -x\n", "f, line 1: -x: missing argument"),
            ("-A -6\n", "f, line 1: -6 used before -f"),
            (
                "-L\n",
                "f, line 1: only commands that change something can stand here (-A -E -D -C -a -e -d -Z --set)",
            ),
            (
                "-C --socket /x\n",
                "f, line 1: only commands that change something can stand here (-A -E -D -C -a -e -d -Z --set)",
            ),
        ] {
            let error = parse_text("f", text).expect_err(text).to_string();
            assert_eq!(error, expected);
        }
    }
}
