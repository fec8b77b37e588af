//! The file that keeps real servers over a restart.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use lvs_api::lenient::{List, Unknown};
use lvs_config::ldirectord::{ByHand, Found, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Real servers beside those of the file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kept {
    /// Servers of names.
    pub(super) found: List<(Query, Vec<Found>)>,
    /// Servers added by hand.
    pub(super) by_hand: List<ByHand>,
    /// Further fields, of a newer lvsd.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The part of the file that only a newer lvsd understands, for that one.
#[derive(Clone, Debug, Default)]
pub(super) struct Newer {
    found: Vec<Value>,
    by_hand: Vec<Value>,
    rest: Map<String, Value>,
}

impl Kept {
    /// The part that is not understood.
    pub(super) fn newer(&self) -> Newer {
        let values =
            |entries: &[Unknown]| entries.iter().map(|entry| entry.value.clone()).collect();
        Newer {
            found: values(&self.found.unknown),
            by_hand: values(&self.by_hand.unknown),
            rest: self.rest.clone(),
        }
    }
}

#[derive(Serialize)]
struct ToKeep<'a> {
    found: Vec<Entry<'a, (&'a Query, &'a Vec<Found>)>>,
    by_hand: Vec<Entry<'a, &'a ByHand>>,
    #[serde(flatten)]
    rest: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a, T> {
    Known(T),
    Newer(&'a Value),
}

/// A list of those of a newer lvsd and of these entries: of two for the same name the last one holds.
fn list<T>(known: impl Iterator<Item = T>, newer: &[Value]) -> Vec<Entry<'_, T>> {
    let newer = newer.iter().map(Entry::Newer);
    newer.chain(known.map(Entry::Known)).collect()
}

/// Reads the file; a missing one keeps nothing.
pub(super) fn read(path: &Path) -> io::Result<Kept> {
    match std::fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}

/// Replaces the file atomically. Only its owner may read it.
pub(super) fn write(
    path: &Path,
    found: &BTreeMap<Query, Vec<Found>>,
    by_hand: &[ByHand],
    newer: &Newer,
) -> io::Result<()> {
    let kept = ToKeep {
        found: list(found.iter(), &newer.found),
        by_hand: list(by_hand.iter(), &newer.by_hand),
        rest: &newer.rest,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, &kept)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_kept_stays_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("servers");
        let text = r#"{"found":[5],"by_hand":[{"quota":1}],"pinned":[7]}"#;
        std::fs::write(&path, text).unwrap();
        let kept = read(&path).unwrap();
        assert_eq!(
            (kept.found.entries.len(), kept.by_hand.entries.len()),
            (0, 0)
        );
        write(&path, &BTreeMap::new(), &[], &kept.newer()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
