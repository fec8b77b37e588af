//! The file that keeps the role over a restart of the daemon.

use std::io::{self, Write as _};
use std::path::Path;

use crate::control::role::Role;

/// The role that was kept, if any was.
pub(super) fn read(path: &Path) -> io::Result<Option<Role>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let role = text.trim().parse();
    role.map(Some)
        .map_err(|why: String| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Keeps a role: the file holds the one before or this one, whatever happens.
pub(super) fn write(path: &Path, role: Role) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{role}")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
