//! A configuration file that changes on disk while the daemon runs on it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the file is looked at.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// What tells without reading that a file may have changed: its time, its size, and which file it is, for
/// those who write a new one and rename it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file as it was when it was looked at last.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    /// Of `content`.
    stamp: Option<Stamp>,
    content: Option<Vec<u8>>,
    /// Seen once, not yet twice.
    fresh: Option<Stamp>,
}

impl Watched {
    /// Takes the file as it is now. To be called before the file is read, so that no change after the
    /// reading is missed; one in between is read again for nothing.
    pub(crate) fn new(path: &Path) -> Self {
        let stamp = stamp(path).ok();
        Self {
            path: path.to_owned(),
            stamp,
            content: fs::read(path).ok(),
            fresh: stamp,
        }
    }

    /// Which file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file says something else than before, to be asked every [`PERIOD`].
    ///
    /// One that is gone says nothing yet, and one that changed since it was last asked about may be half
    /// written: it is believed when it has stayed the same for a period.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now = stamp(&self.path).ok();
        let settled = self.fresh == now;
        self.fresh = now;
        if now.is_none() || now == self.stamp || !settled {
            return false;
        }
        let Ok(content) = fs::read(&self.path) else {
            return false;
        };
        self.stamp = now;
        let before = self.content.replace(content);
        self.content != before
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        inode: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks until the file has settled.
    fn changed(watched: &mut Watched) -> bool {
        // Never at once, whatever it is.
        let fresh = stamp(&watched.path).ok() != watched.stamp;
        assert!(!(watched.has_changed() && fresh), "it may be half written");
        watched.has_changed()
    }

    #[test]
    fn only_another_content_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("www.cf");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(&path);
        assert!(!changed(&mut watched));
        // Written again, the same: `touch`, or a configuration management that is thorough.
        fs::write(&path, "one").unwrap();
        assert!(!changed(&mut watched));
        fs::write(&path, "two").unwrap();
        assert!(changed(&mut watched));
        assert!(!changed(&mut watched));
        // As editors do.
        fs::write(folder.path().join("new"), "six").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(changed(&mut watched));
    }

    #[test]
    fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("www.cf");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(&path);
        fs::remove_file(&path).unwrap();
        assert!(!changed(&mut watched));
        fs::write(&path, "one").unwrap();
        assert!(!changed(&mut watched));
        fs::remove_file(&path).unwrap();
        assert!(!changed(&mut watched));
        fs::write(&path, "two").unwrap();
        assert!(changed(&mut watched));
    }

    #[test]
    fn an_edit_right_after_the_start_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("www.cf");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(&path);
        fs::write(&path, "two").unwrap();
        assert!(changed(&mut watched));
    }
}
