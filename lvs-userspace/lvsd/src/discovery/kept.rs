//! The file that keeps real servers over a restart.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use lvs_api::lenient::List;
use lvs_config::ldirectord::{ByHand, Found, Query};
use serde::{Deserialize, Serialize};

/// Real servers beside those of the file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kept {
    /// Servers of names.
    pub(super) found: List<(Query, Vec<Found>)>,
    /// Servers added by hand.
    pub(super) by_hand: List<ByHand>,
}

#[derive(Serialize)]
struct ToKeep<'a> {
    found: Vec<(&'a Query, &'a Vec<Found>)>,
    by_hand: &'a [ByHand],
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
) -> io::Result<()> {
    let kept = ToKeep {
        found: found.iter().collect(),
        by_hand,
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
