//! Man pages and shell completions, from the same definitions of command lines that parse them and print `--help`.

mod completions;
mod page;
mod text;

use clap::{Command, ValueEnum};

pub use self::page::Page;

/// A document that a program prints about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// Its man page.
    Man,
    /// Its completion for bash.
    Bash,
    /// Its completion for zsh.
    Zsh,
    /// Its completion for fish.
    Fish,
}

impl Document {
    /// Parses the name of a document, as `--generate` takes it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }

    /// Renders this document of a program: its page, or the completion of its command line.
    pub fn render(self, page: impl FnOnce() -> String, command: Command, name: &str) -> String {
        match self {
            Self::Man => page(),
            Self::Bash => completions::render(clap_complete::Shell::Bash, command, name),
            Self::Zsh => completions::render(clap_complete::Shell::Zsh, command, name),
            Self::Fish => completions::render(clap_complete::Shell::Fish, command, name),
        }
    }
}
