//! The file that keeps real servers over a restart.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use lvs_api::lenient::{List, Newer, Unknown};
use lvs_config::ldirectord::{ByHand, Found, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A query, and what it found.
type Answered = (Query, Vec<Found>);

/// Real servers beside those of the file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kept {
    /// Servers of names.
    found: List<Answered>,
    /// Servers added by hand.
    by_hand: List<ByHand>,
    /// Further fields, of a newer lvsd.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The part of the file that only a newer lvsd understands, for that one.
#[derive(Clone, Debug, Default)]
pub(super) struct NewerPart {
    found: Newer<Answered>,
    by_hand: Newer<ByHand>,
    rest: Map<String, Value>,
}

impl Kept {
    /// Servers of names, servers added by hand, and the rest.
    pub(super) fn into_parts(self) -> (Vec<Answered>, Vec<ByHand>, NewerPart) {
        let newer = NewerPart {
            found: self.found.newer,
            by_hand: self.by_hand.newer,
            rest: self.rest,
        };
        (self.found.entries, self.by_hand.entries, newer)
    }
}

impl NewerPart {
    /// Entries that are not understood.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Unknown> {
        self.found.unknown.iter().chain(&self.by_hand.unknown)
    }

    /// Forgets what was read about servers added by hand that are none of these.
    pub(super) fn follow(&mut self, by_hand: &[ByHand]) {
        self.by_hand.forget(|read| !by_hand.contains(read));
    }
}

#[derive(Serialize)]
struct ToKeep<'a> {
    found: Vec<Value>,
    by_hand: Vec<Value>,
    #[serde(flatten)]
    rest: &'a Map<String, Value>,
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
    newer: &NewerPart,
) -> io::Result<()> {
    let kept = ToKeep {
        found: newer.found.list(found.clone())?,
        by_hand: newer.by_hand.list(by_hand.to_vec())?,
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
        let (found, by_hand, newer) = read(&path).unwrap().into_parts();
        assert_eq!((found.len(), by_hand.len()), (0, 0));
        assert_eq!(newer.unknown().count(), 2);
        write(&path, &BTreeMap::new(), &[], &newer).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn fields_of_a_newer_version_stay_with_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("servers");
        let query = Query {
            name: "www.example.com".to_owned(),
            family: lvs_api::model::Family::Ipv4,
        };
        let address = Found {
            address: [10, 0, 0, 1].into(),
            port: None,
            weight: None,
            backup: false,
        };
        let mut found = BTreeMap::from([(query, vec![address])]);
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        write(&path, &found, &[], &NewerPart::default()).unwrap();
        let old = text(&path);
        let with_more = old.replace("\"backup\":false", "\"backup\":false,\"zone\":5");
        assert_ne!(with_more, old);
        std::fs::write(&path, &with_more).unwrap();
        let (_, _, newer) = read(&path).unwrap().into_parts();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        write(&path, &found, &[], &newer).unwrap();
        assert_eq!(value(&text(&path)), value(&with_more));
        // Other addresses are another answer.
        for servers in found.values_mut() {
            servers[0].address = [10, 0, 0, 2].into();
        }
        write(&path, &found, &[], &newer).unwrap();
        assert!(!text(&path).contains("zone"), "{}", text(&path));
    }
}
