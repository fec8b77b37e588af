//! A configuration file whose changes on disk are watched.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lvs_config::text;

/// Interval at which a file is checked for changes.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Signs, without reading, that a file may have changed: its times, its size, and its inode, for editors that
/// write a new file and rename it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file as it was at the last check.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    /// Of `content`.
    stamp: Option<Stamp>,
    content: Option<Vec<u8>>,
    /// Stamp at the last check; the file is read once two checks agree.
    last: Option<Stamp>,
}

impl Watched {
    /// Watches a file from its present state on. To be called before the file is read, so that no change is
    /// missed; a change in between causes one needless reading.
    pub(crate) fn new(path: &Path) -> Self {
        let stamp = stamp(path).ok();
        Self {
            path: path.to_owned(),
            stamp,
            content: text::bytes(path).ok(),
            last: stamp,
        }
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// True if the content differs from before; to be called every [`PERIOD`].
    ///
    /// A missing file is no change yet. A file that changed since the last check may be half written: it is
    /// read when it has stayed the same for a period.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now = stamp(&self.path).ok();
        let stable = self.last == now;
        self.last = now;
        if now.is_none() || now == self.stamp || !stable {
            return false;
        }
        let Ok(content) = text::bytes(&self.path) else {
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

    /// Checks twice, as a changed file has to stay the same for a period.
    fn changed(watched: &mut Watched) -> bool {
        // No change is reported at the first check.
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
