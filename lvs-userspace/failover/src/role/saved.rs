//! The file that keeps the role over a restart of the daemon.

use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use lvs_api::role::Role;
use lvs_api::virtual_address::VirtualAddress;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) role: Role,
    /// Addresses that may be held. The next lvsd may have others, and removes these.
    pub(super) addresses: Vec<VirtualAddress>,
    /// Further fields, of a newer lvsd: kept for it.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

impl Saved {
    /// Reads the file, if there is one.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file as a whole: after a crash it is the old one or the new one.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_kept_stays_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("role");
        let text = r#"{"role":"master","addresses":[],"epoch":7}"#;
        std::fs::write(&path, text).unwrap();
        let saved = Saved::read(&path).unwrap().unwrap();
        let role = Role::Backup;
        Saved { role, ..saved }.write(&path).unwrap();
        let expected = text.replace("master", "backup");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }
}
