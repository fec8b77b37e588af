//! `--generate`: the man page and the completions, from the definition of the command line.

use clap::CommandFactory as _;
use lvs_manual::{Document, Page};

use crate::arguments::{AFTER_HELP, Arguments, USAGE};

/// Renders a document about lvsd.
pub(crate) fn document(document: Document) -> String {
    document.render(page, Arguments::command(), "lvsd")
}

fn page() -> String {
    let command = Arguments::command();
    let about = command.get_long_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let (_, description) = about.split_once("\n\n").unwrap_or_default();
    let mut page = Page::new("lvsd", env!("CARGO_PKG_VERSION"), "the director daemon");
    page.synopsis(USAGE.lines().map(str::trim));
    page.section("DESCRIPTION", description);
    page.options(&command);
    page.help(AFTER_HELP);
    page.section("FILES", FILES);
    page.section("SEE ALSO", "`lvsadm`(8), `ldirectord.cf`(5)");
    page.finish()
}

const FILES: &str = "\
  /etc/ha.d, /etc/ha.d/conf, /etc/lvs  are searched for the file of a command
  /etc/default/lvsd  options for every way to start it: init script, systemd, cluster managers
  /run/lvs/lvsd.sock  the control socket; root and the group lvs may use it
  /sys/fs/bpf/lvs  the tables and programs in the kernel, which outlive the daemon
  /var/lib/lvs  what outlives a reboot: overrides, filters, sync daemons
  /var/log/ldirectord.log  the log of a daemon in the background, unless its file names another one
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_and_command_of_the_help() {
        let page = page();
        for argument in Arguments::command().get_arguments() {
            let Some(long) = argument.get_long().filter(|_| !argument.is_hide_set()) else {
                continue;
            };
            let option = format!("\\-\\-{}", long.replace('-', "\\-"));
            assert!(page.contains(&option), "{long} in {page}");
        }
        for part in [
            ".SH SYNOPSIS\n",
            "\\fBcheck FILE\\fR\n",
            ".SH SIGNALS\n",
            ".SH FILES\n",
            ".SH \"EXIT STATUS\"\n",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn completions_have_the_options() {
        for shell in [Document::Bash, Document::Zsh, Document::Fish] {
            assert!(document(shell).contains("peer-key"), "{shell:?}");
        }
    }
}
