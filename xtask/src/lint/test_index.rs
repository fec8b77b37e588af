//! The index of tests in `tests/README.md`: it links each file with tests, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Compares the index with the files of `tests/tests`.
pub(super) fn check() -> Result<()> {
    let folder = shell::workspace().join("tests");
    let index = fs::read_to_string(folder.join("README.md")).context("tests/README.md")?;
    let linked = links(&index);
    let mut files = BTreeSet::new();
    collect(&folder, Path::new("tests"), &mut files)?;
    let missing: Vec<_> = files.difference(&linked).cloned().collect();
    let gone: Vec<_> = linked.difference(&files).cloned().collect();
    if !missing.is_empty() || !gone.is_empty() {
        bail!("tests/README.md lacks {missing:?} and links {gone:?}, which have no tests");
    }
    Ok(())
}

/// The Rust files that a page links.
fn links(page: &str) -> BTreeSet<String> {
    let targets = page.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| is_rust(Path::new(target)))
        .map(str::to_owned)
        .collect()
}

/// Adds the files with tests below a path, relative to the folder.
fn collect(folder: &Path, below: &Path, files: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(folder, &path, files)?;
        } else if is_rust(&path) {
            let text = fs::read_to_string(folder.join(&path))?;
            if text.lines().any(|line| line.trim() == "#[test]") {
                files.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(())
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}
