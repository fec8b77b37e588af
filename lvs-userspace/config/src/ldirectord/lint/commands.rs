//! Commands that act on the system and are not there: that would be noticed when they are needed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::diagnostic::Diagnostic;
use super::super::keywords::{self, Key};
use super::super::settings::{Settings, Value};

const COMMANDS: [Key; 5] = [
    Key::Callback,
    Key::EventCommand,
    Key::FallbackCommand,
    Key::QuorumUp,
    Key::QuorumDown,
];

/// Warns of lines for the shell that begin with the path of a program that cannot be executed.
pub(super) fn missing(settings: &Settings, diagnostics: &mut Vec<Diagnostic>) {
    for entry in settings.entries() {
        let Value::Text(line) = &entry.value else {
            continue;
        };
        let Some(path) = program(line).filter(|_| COMMANDS.contains(&entry.key)) else {
            continue;
        };
        let (problem, hint) = match Path::new(path).metadata() {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => continue,
            Ok(_) => ("cannot be executed", "make it executable: chmod +x"),
            Err(_) => ("is not there", "put it there, or name another"),
        };
        let name = keywords::all()
            .find(|keyword| keyword.key == entry.key)
            .map_or("", |keyword| keyword.name);
        let problem = format!("{name} can never run: {path} {problem}");
        diagnostics.push(Diagnostic::warning(entry.line, problem).hint(hint));
    }
}

/// The path that a line for the shell begins with, if it is absolute and means the same to the shell.
fn program(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    (word.starts_with('/') && word.bytes().all(plain)).then_some(word)
}
