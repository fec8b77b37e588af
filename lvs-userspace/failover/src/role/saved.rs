//! The file that keeps the role over a restart of the daemon.

use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use lvs_api::role::Role;
use lvs_api::virtual_address::VirtualAddress;

/// What the next lvsd has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) role: Role,
    /// What may be held. The next lvsd may have other addresses, and lets go of these.
    pub(super) addresses: Vec<VirtualAddress>,
}

impl Saved {
    /// What was kept, if anything was.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file holds what it held before or this, whatever happens.
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
