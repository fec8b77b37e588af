//! A man page: head, sections of help texts, sections of command lines.

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::text;

/// The date of this version, as CHANGELOG.md has it.
const RELEASED: &str = "2026-11-30";

/// A man page that is being written.
pub struct Page {
    roff: Roff,
    /// Parts that another writer rendered, between the own ones.
    done: String,
}

impl Page {
    /// A page of section 8 with its name and one line about it.
    pub fn new(name: &str, version: &str, about: &str) -> Self {
        let mut roff = Roff::new();
        let upper = name.to_uppercase();
        let source = format!("lvs {version}");
        roff.control(
            "TH",
            [
                upper.as_str(),
                "8",
                RELEASED,
                source.as_str(),
                "Layer-4 director",
            ],
        );
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{name} - {about}"))]);
        Self {
            roff,
            done: String::new(),
        }
    }

    /// A section of paragraphs.
    pub fn section(&mut self, title: &str, text: &str) {
        self.roff.control("SH", [title]);
        text::render(&mut self.roff, text);
    }

    /// The lines of a usage, each as it is typed.
    pub fn synopsis<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.roff.control("SH", ["SYNOPSIS"]);
        for (index, line) in lines.into_iter().enumerate() {
            if index > 0 {
                self.roff.control("br", []);
            }
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            self.roff.text([bold(name), roman(format!(" {rest}"))]);
        }
    }

    /// A help text: a line at the left margin that ends in a colon begins a section.
    pub fn help(&mut self, help: &str) {
        text::sections(&mut self.roff, help);
    }

    /// The options of a command line, as a section.
    pub fn options(&mut self, command: &Command) {
        let options = rendered(|out| Man::new(command.clone()).render_options_section(out));
        self.raw(&options);
    }

    /// A command with its arguments, its explanation and its options, below a heading of its own.
    pub fn verb(&mut self, name: &str, command: &Command) {
        let usage = command.clone().render_usage().to_string();
        let usage = usage
            .trim_start_matches("Usage: ")
            .replace("\n       ", "\n");
        self.roff.control("SS", [name]);
        self.roff.text([bold(usage)]);
        self.roff.control("PP", []);
        let about = command.get_long_about().or(command.get_about());
        text::render(
            &mut self.roff,
            &about.map(ToString::to_string).unwrap_or_default(),
        );
        if command
            .get_arguments()
            .any(|argument| !argument.is_hide_set())
        {
            let options = rendered(|out| Man::new(command.clone()).render_options_section(out));
            // Below the verb: a paragraph, not a section.
            self.raw(&options.replace(".SH OPTIONS\n", ".PP\n"));
        }
        if let Some(after) = command.get_after_help() {
            text::render(&mut self.roff, &after.to_string());
        }
    }

    /// A section that begins another list of verbs.
    pub fn heading(&mut self, title: &str) {
        self.roff.control("SH", [title]);
    }

    /// The page.
    pub fn finish(mut self) -> String {
        self.raw("");
        tidy(&self.done)
    }

    /// Appends what another writer rendered.
    fn raw(&mut self, text: &str) {
        let roff = std::mem::take(&mut self.roff);
        self.done.push_str(&roff.to_roff());
        self.done.push_str(text);
    }
}

/// Leaves out the begins of paragraphs that are none: twice the same, or beside a heading.
fn tidy(page: &str) -> String {
    let lines: Vec<_> = page.lines().collect();
    let mut tidied: Vec<&str> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let begins = |line: &str| {
            [".SH", ".SS", ".TP", ".PP"]
                .iter()
                .any(|word| line.starts_with(word))
        };
        let is_heading = |line: &str| line.starts_with(".SH") || line.starts_with(".SS");
        let behind = tidied.last().is_some_and(|before| is_heading(before));
        let before = lines.get(index + 1).is_none_or(|next| begins(next));
        if *line != ".PP" || !(behind || before) {
            tidied.push(line);
        }
    }
    tidied.join("\n") + "\n"
}

fn rendered(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    // Memory takes everything.
    let _ = render(&mut out);
    let text = String::from_utf8_lossy(&out).replace("\\*(Aq", "\\(aq");
    let mut done = String::new();
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    let (mut pending, mut breaks) = (false, false);
    for line in &mut lines {
        // A line break beside a blank line is none.
        if line.is_empty() || (line == ".br" && pending) {
            pending = true;
            continue;
        }
        if line == ".br" {
            breaks = true;
            continue;
        }
        if breaks && !pending {
            done.push_str(".br\n");
        }
        breaks = false;
        if pending && !line.starts_with(".TP") && !line.starts_with(".SH") {
            done.push_str(".sp\n");
        }
        pending = false;
        done.push_str(&bold_words(line));
        done.push('\n');
    }
    done
}

/// A line whose words between backticks are bold.
fn bold_words(line: &str) -> String {
    let parts: Vec<_> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return line.to_owned();
    }
    let words = parts.iter().enumerate();
    words
        .map(|(index, part)| match index % 2 {
            0 => (*part).to_owned(),
            _ => format!("\\fB{part}\\fR"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    #[test]
    fn a_page_has_every_option_and_what_stands_around_them() {
        let verb = Command::new("drain")
            .about("Drain a server")
            .arg(Arg::new("server").required(true).value_name("REAL"))
            .arg(
                Arg::new("timeout")
                    .long("timeout")
                    .help("Wait no longer")
                    .action(ArgAction::Set),
            );
        let mut page = Page::new("lvsadm", "1.2", "operates it");
        page.synopsis(["lvsadm VERB"]);
        page.section("DESCRIPTION", "One.\n\nTwo `-x`.");
        page.help("Services:\n  -A, --add SERVICE   add one\n");
        page.verb("lvsadm drain", &verb);
        let page = page.finish();
        for part in [
            ".TH LVSADM 8 2026-11-30 \"lvs 1.2\" \"Layer-4 director\"\n",
            "lvsadm \\- operates it\n",
            ".SH SERVICES\n",
            "\\fB\\-A, \\-\\-add SERVICE\\fR\nadd one\n",
            ".SS \"lvsadm drain\"\n",
            "\\-\\-timeout",
            "Wait no longer",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(page.matches(".SH OPTIONS").count(), 0, "{page}");
        assert!(!page.contains(".PP\n.PP"), "{page}");
    }

    #[test]
    fn pages_have_the_date_of_the_newest_version_in_the_changelog() {
        let changes = include_str!("../../../CHANGELOG.md");
        let newest = changes.lines().find(|line| line.starts_with("## ["));
        let expected = format!("## [{}] - {RELEASED}", env!("CARGO_PKG_VERSION"));
        let newest = if newest == Some("## [Unreleased]") {
            changes
                .lines()
                .filter(|line| line.starts_with("## ["))
                .nth(1)
        } else {
            newest
        };
        assert_eq!(newest, Some(expected.as_str()));
    }
}
