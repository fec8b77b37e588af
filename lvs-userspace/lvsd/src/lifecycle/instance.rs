//! A configuration file, and the names of its daemon: in the log and of the pid file.

use std::path::{Path, PathBuf};

/// The file when none is named.
const DEFAULT_FILE: &str = "ldirectord.cf";
/// The extension that a name may leave out, as in Heartbeat's `ldirectord::www`.
const EXTENSION: &str = ".cf";

/// A file and its daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Name in the pid file's path and in each line of the log: the file's last part with its extension,
    /// as ldirectord has it.
    pub name: String,
    /// The file as the command line names it.
    argument: String,
}

impl Instance {
    /// The instance of this file; without one, of [`DEFAULT_FILE`].
    ///
    /// Where there is no file of that name, nor a daemon of it, it may be one with `.cf` at its end.
    pub(crate) fn new(file: Option<&str>) -> Self {
        let Some(file) = file else {
            return Self {
                name: "ldirectord".to_owned(),
                argument: DEFAULT_FILE.to_owned(),
            };
        };
        let named = Self::named(file);
        let longer = Self::named(&format!("{file}{EXTENSION}"));
        let is_there = |it: &Self| it.find().is_some() || it.pid_file().exists();
        if !is_there(&named) && is_there(&longer) {
            longer
        } else {
            named
        }
    }

    fn named(file: &str) -> Self {
        let name = Path::new(file).file_name();
        Self {
            name: name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            argument: file.to_owned(),
        }
    }

    /// The file as the command line names it.
    pub(crate) fn argument(&self) -> &str {
        &self.argument
    }

    /// Finds the file where ldirectord looks for it, then in a folder of this director's own.
    ///
    /// The path is absolute: a daemon has no working directory.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let candidates = ["/etc/ha.d", "/etc/ha.d/conf", "", "/etc/lvs"]
            .map(|folder| Path::new(folder).join(&self.argument));
        let found = candidates
            .into_iter()
            .find(|path| path.exists() && !path.is_dir())?;
        std::path::absolute(found).ok()
    }

    /// Path of the pid file: ldirectord's under either name of the program, for whatever watches that file.
    pub(crate) fn pid_file(&self) -> PathBuf {
        PathBuf::from(format!("/var/run/ldirectord.{}.pid", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_after_its_file() {
        let name = |file| Instance::new(file).name;
        assert_eq!(name(None), "ldirectord");
        assert_eq!(name(Some("ldirectord.cf")), "ldirectord.cf");
        assert_eq!(name(Some("/etc/ha.d/conf/www.cf")), "www.cf");
        assert_eq!(
            Instance::new(Some("www.cf")).pid_file(),
            Path::new("/var/run/ldirectord.www.cf.pid")
        );
    }

    #[test]
    fn a_file_is_found_by_its_path_which_becomes_absolute() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("www.cf");
        let instance = Instance::new(path.to_str());
        assert_eq!(instance.find(), None);
        std::fs::write(&path, "").expect("a file");
        assert_eq!(instance.find(), Some(path));
        assert_eq!(Instance::new(folder.path().to_str()).find(), None);

        // Without its extension, as Heartbeat's resources are named.
        let short = Instance::new(folder.path().join("www").to_str());
        assert_eq!(short, Instance::new(folder.path().join("www.cf").to_str()));
        assert_eq!(
            short.pid_file(),
            Path::new("/var/run/ldirectord.www.cf.pid")
        );
        // But a file of just that name is meant first.
        std::fs::write(folder.path().join("www"), "").expect("a file");
        let exact = Instance::new(folder.path().join("www").to_str());
        assert_eq!(exact.find(), Some(folder.path().join("www")));
    }
}
