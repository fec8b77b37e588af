//! Recordings: command lines with the answers that ipvsadm gave on the kernel's IPVS.
//!
//! A recording is a text file. `# ` begins a comment. `$ ` begins a command line; below it stands the answer, whose
//! last line is the exit code in brackets. A line that begins with `! ` between the two is the reason why this
//! director answers differently: then the answers are not compared.

use std::fs;
use std::path::{Path, PathBuf};

/// A command line of a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Lines of comment before it.
    pub(super) comment: String,
    /// As it is written.
    pub(super) line: String,
    /// The reason why it is answered differently here.
    pub(super) different: Option<String>,
    /// Text and exit code; empty: not recorded yet.
    pub(super) answer: String,
}

/// A recording by the name of its file.
pub(super) struct Recording {
    path: PathBuf,
    pub(super) entries: Vec<Entry>,
}

impl Recording {
    pub(super) fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/recorded");
        let path = folder.join(name);
        let text = fs::read_to_string(&path).unwrap();
        let mut entries = Vec::<Entry>::new();
        let mut comment = String::new();
        for line in text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                entries.push(Entry {
                    comment: std::mem::take(&mut comment),
                    line: command.to_owned(),
                    ..Entry::default()
                });
            } else if line.starts_with("# ") {
                comment.extend([line, "\n"]);
            } else if let Some(entry) = entries.last_mut() {
                match line.strip_prefix("! ") {
                    Some(reason) if entry.answer.is_empty() => {
                        entry.different = Some(reason.to_owned());
                    }
                    _ => entry.answer.extend([line, "\n"]),
                }
            }
        }
        Self { path, entries }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.entries.iter().map(|entry| entry.line.clone());
        lines.collect()
    }

    pub(super) fn write(&self) {
        let entry = |entry: &Entry| {
            let reason = entry.different.as_ref();
            let reason = reason.map_or(String::new(), |reason| format!("! {reason}\n"));
            format!(
                "{}$ {}\n{reason}{}",
                entry.comment, entry.line, entry.answer
            )
        };
        let text: String = self.entries.iter().map(entry).collect();
        fs::write(&self.path, text).unwrap();
    }
}
