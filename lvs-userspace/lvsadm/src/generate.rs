//! `--generate`: the man page and the completions, from the options of ipvsadm's commands and the definition of the
//! verbs.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use lvs_manual::{Document, Page};

use crate::{ipvsadm, options, verbs};

/// The document that a command line asks for: `--generate WHAT` and nothing else.
pub(crate) fn asked(words: &[OsString]) -> Option<Document> {
    match words {
        [_, option, what] if option == "--generate" => Document::parse(what.to_str()?),
        _ => None,
    }
}

/// Prints a document about the program by the name it was called.
pub(crate) fn print(document: Document, words: &[OsString]) -> ExitCode {
    let program = words.first().map(Path::new).and_then(Path::file_name);
    let is_ipvsadm = program.is_some_and(|name| name == "ipvsadm");
    let (command, name) = if is_ipvsadm {
        (Command::new("ipvsadm"), "ipvsadm")
    } else {
        (verbs::command(), "lvsadm")
    };
    let text = document.render(page, with_options(command), name);
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::from(options::BROKEN_PIPE)
        }
        Err(error) => {
            drop(writeln!(io::stderr(), "cannot write: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// ipvsadm's options beside the verbs. It serves completions only: ipvsadm's command lines have a parser of their own.
fn with_options(command: Command) -> Command {
    let command = command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .subcommand_required(false);
    let mut options: Vec<Arg> = Vec::new();
    for option in lvs_ipvsadm::completions() {
        // The verbs define the socket.
        if option.long == "socket" && command.get_arguments().any(|has| has.get_id() == "socket") {
            continue;
        }
        let known = |argument: &Arg| argument.get_long() == Some(option.long);
        let argument = match options.iter().position(known) {
            // A second letter for the same.
            Some(index) => options.remove(index).visible_short_aliases(option.short),
            None => Arg::new(option.long).long(option.long).short(option.short),
        };
        options.push(argument.action(if option.takes_value {
            ArgAction::Append
        } else {
            ArgAction::Count
        }));
    }
    command.args(options)
}

/// The man page: ipvsadm's commands and options as `-h` has them, then the verbs.
fn page() -> String {
    let (before, after) = ipvsadm::help_parts();
    let (description, commands) = before.split_once("\n\nUsage: ").unwrap_or_default();
    let (_, commands) = commands.split_once("\n\n").unwrap_or_default();
    let mut page = Page::new(
        "lvsadm",
        env!("CARGO_PKG_VERSION"),
        "administers a running director, in ipvsadm's words and its own",
    );
    page.synopsis([
        "lvsadm [--timeout TIME] COMMAND [OPTION...]",
        "lvsadm [--socket PATH] [--timeout TIME] VERB [ARGUMENT...]",
        "ipvsadm COMMAND [OPTION...]",
        "ipvsadm-save [-n]",
        "ipvsadm-restore [--atomic]",
    ]);
    page.section("DESCRIPTION", description);
    page.help(commands);
    page.help(&after);
    let verbs = verbs::command();
    page.heading("VERBS");
    leaves(&verbs, "lvsadm", &mut |name, verb| page.verb(name, verb));
    if let Some(words) = verbs.get_after_help() {
        page.section("WORDS OF THE VERBS", &words.to_string());
    }
    page.section(
        "ENVIRONMENT",
        "  LVS_SOCKET  the control socket, if --socket does not name it\n  \
         NO_COLOR  no colours in listings of verbs\n",
    );
    page.section(
        "SEE ALSO",
        "`lvsd`(8), `ldirectord.cf`(5), `ipvsadm-save`(8), `ipvsadm-restore`(8)",
    );
    page.finish()
}

/// Visits the commands that have no further ones, each by its whole name.
fn leaves(command: &Command, name: &str, visit: &mut impl FnMut(&str, &Command)) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{name} {}", verb.get_name());
        if verb.has_subcommands() {
            leaves(verb, &name, visit);
        } else {
            let verb = verb.clone().disable_help_flag(true);
            visit(&name, &verb.bin_name(name.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_of_ipvsadm_and_every_verb() {
        let page = page();
        let (before, after) = ipvsadm::help_parts();
        for option in lvs_ipvsadm::completions() {
            let option = format!("--{}", option.long);
            // Other spellings of the same are not in the help either.
            if format!("{before}{after}").contains(&option) {
                assert!(
                    page.contains(&option.replace('-', "\\-")),
                    "{option} in {page}"
                );
            }
        }
        leaves(&verbs::command(), "lvsadm", &mut |name, _| {
            let heading = if name.contains(' ') {
                format!(".SS \"{name}\"\n")
            } else {
                format!(".SS {name}\n")
            };
            assert!(page.contains(&heading), "{heading} in {page}");
        });
        assert!(page.contains(".SS \"lvsadm connections drop\"\n"), "{page}");
    }

    #[test]
    fn completions_have_options_and_verbs_and_those_of_ipvsadm_no_verbs() {
        for shell in [Document::Bash, Document::Zsh, Document::Fish] {
            let own = shell.render(page, with_options(verbs::command()), "lvsadm");
            assert!(
                own.contains("tcp-service") && own.contains("handover"),
                "{own}"
            );
            let of_ipvsadm = with_options(Command::new("ipvsadm"));
            let of_ipvsadm = shell.render(page, of_ipvsadm, "ipvsadm");
            assert!(of_ipvsadm.contains("tcp-service"), "{of_ipvsadm}");
            assert!(!of_ipvsadm.contains("handover"), "{of_ipvsadm}");
        }
    }
}
