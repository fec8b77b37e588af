//! `--generate`: the man page and the completions, from the options of ipvsadm's commands and the definition of the
//! verbs.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use lvs_manual::{Document, Page};

use crate::{ipvsadm, options, verbs};

/// The document that a command line asks for: `--generate WHAT` and nothing else, and not in ipvsadm's name.
pub(crate) fn asked(words: &[OsString]) -> Option<Document> {
    let [program, option, what] = words else {
        return None;
    };
    let name = Path::new(program).file_name()?.to_string_lossy();
    if option != "--generate" || name.starts_with("ipvsadm") {
        return None;
    }
    Document::parse(what.to_str()?)
}

/// Prints a document about the program.
pub(crate) fn print(document: Document) -> ExitCode {
    let text = document.render(page, with_options(verbs::command()), "lvsadm");
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
    fn completions_have_options_and_verbs() {
        for shell in [Document::Bash, Document::Zsh, Document::Fish] {
            let text = shell.render(page, with_options(verbs::command()), "lvsadm");
            assert!(
                text.contains("tcp-service") && text.contains("handover"),
                "{text}"
            );
        }
    }

    #[test]
    fn ipvsadm_has_no_such_option() {
        let asked = |line: &str| asked(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(
            asked("/usr/sbin/lvsadm --generate man"),
            Some(Document::Man)
        );
        assert_eq!(asked("/usr/sbin/ipvsadm --generate man"), None);
        assert_eq!(asked("lvsadm --generate nothing"), None);
    }
}
