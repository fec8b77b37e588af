//! Lines of `ipvsadm -S`, as in the input of `-R` and in configuration files.

use lvs_api::protocol::Edit;
use thiserror::Error;

use super::command::{Command, Invocation};
use super::error::UsageError;
use super::parse::parse;

/// A line that is no edit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    /// No command line.
    #[error("{}", .0.to_string().trim_end())]
    Usage(#[from] UsageError),
    /// A command that makes no change.
    #[error(
        "only commands that change something can stand here (-A -E -D -C -a -e -d -Z --set --mark --sysctl)"
    )]
    NotAnEdit,
}

/// Parses a line of a configuration file; `None` for a blank line or a comment (`#`).
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

/// The words of a line, without the program's name, which may begin it. There is no quoting.
pub fn words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .skip_while(|word| *word == "ipvsadm")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// A word that is near to what a line may hold. No names: these would be looked up.
    fn word() -> impl Strategy<Value = String> {
        let options: Vec<_> = crate::completions()
            .flat_map(|option| {
                let letter = option.short.map(|letter| format!("-{letter}"));
                [Some(format!("--{}", option.long)), letter]
            })
            .flatten()
            .collect();
        let values = [
            "192.0.2.1:80",
            "[2001:db8::1]:80",
            "10.0.0.1",
            "wlc",
            "sh-port,sh-fallback",
            "0",
            "65536",
            "4294967296",
            "-1",
            "auto:1-0",
            "1,2,3",
            "255.255.255.0",
            "=",
        ];
        prop_oneof![
            4 => select(options),
            4 => select(values.to_vec()).prop_map(str::to_owned),
            1 => "[-0-9.:,=\\[\\]/%+]{1,24}",
            1 => "--[a-z-]{0,12}=[0-9.:]{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn any_words_are_an_edit_or_refused(words in prop::collection::vec(word(), 0..14)) {
            let line = words.join(" ");
            if let Err(error) = parse_line(&line) {
                prop_assert!(!error.to_string().is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn comments_and_blank_lines_are_no_edits() {
        for line in ["", "  ", "# the web", "  # and its server"] {
            assert_eq!(parse_line(line), Ok(None));
        }
    }

    #[test]
    fn the_name_of_the_program_may_begin_a_line() {
        for line in ["-C", "ipvsadm -C", "\tipvsadm\t--clear \r"] {
            assert_eq!(parse_line(line), Ok(Some(Edit::Flush)));
        }
    }

    #[test]
    fn an_error_explains_the_line() {
        let not_an_edit = "only commands that change something can stand here \
                           (-A -E -D -C -a -e -d -Z --set --mark --sysctl)";
        for (line, expected) in [
            (
                "-A -t 1.2.3.4:80x",
                "illegal virtual server address[:port] specified",
            ),
            ("-A -f 1 -x", "-x: missing argument"),
            ("-A -f 1 # web", "unexpected argument #"),
            ("foo", not_an_edit),
            ("-L", not_an_edit),
            ("-R", not_an_edit),
            ("-C --socket /x", not_an_edit),
        ] {
            let error = parse_line(line).expect_err(line).to_string();
            assert_eq!(error, expected);
        }
    }
}
