//! The verbs in lvsadm's help, from the definition of their command lines.

use clap::builder::Str;
use clap::{Command, CommandFactory as _};

use super::arguments::Arguments;

/// Column at which explanations begin.
const INDENT: usize = 41;
/// Longest line.
const COLUMNS: usize = 100;

/// The definition of the verbs' command lines.
pub(crate) fn command() -> Command {
    Arguments::command()
}

/// A line, or more, for each verb: its name, its arguments and its explanation.
pub(crate) fn verbs() -> String {
    let command = Arguments::command();
    command.get_subcommands().map(entry).collect()
}

fn entry(verb: &Command) -> String {
    let mut entry = format!("  {}", verb.get_name());
    let nested: Vec<_> = verb.get_subcommands().map(Command::get_name).collect();
    if !nested.is_empty() {
        entry = format!("{entry} {}", nested.join("|"));
    }
    for argument in verb.get_positionals() {
        let names = argument.get_value_names().unwrap_or_default();
        let name: Vec<_> = names.iter().map(Str::as_str).collect();
        let name = name.join(" ");
        let (before, after) = if argument.is_required_set() {
            (" ", "")
        } else {
            (" [", "]")
        };
        entry.extend([before, &name, after]);
    }
    let about = verb.get_about().map(ToString::to_string);
    let mut column = entry.len();
    let break_line = |entry: &mut String| {
        entry.push('\n');
        entry.push_str(&" ".repeat(INDENT));
        INDENT
    };
    if column + 2 > INDENT {
        column = break_line(&mut entry);
    } else {
        entry.push_str(&" ".repeat(INDENT - column));
        column = INDENT;
    }
    for word in about.unwrap_or_default().split_whitespace() {
        if column > INDENT && column + 1 + word.len() > COLUMNS {
            column = break_line(&mut entry);
        } else if column > INDENT {
            entry.push(' ');
            column += 1;
        }
        entry.push_str(word);
        column += word.chars().count();
    }
    entry + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_line_with_its_arguments() {
        let help = verbs();
        for verb in Arguments::command().get_subcommands() {
            let line = format!("\n  {} ", verb.get_name());
            assert!(format!("\n{help}").contains(&line), "{line}: {help}");
        }
        for line in [
            "  drain REAL ",
            "  role [master|backup] ",
            "  sync status|wait ",
            "  handover ",
            "  server VIRTUAL REAL ready|drain|maint",
        ] {
            assert!(help.contains(line), "{line}: {help}");
        }
        assert!(help.lines().all(|line| line.len() <= COLUMNS), "{help}");
    }
}
