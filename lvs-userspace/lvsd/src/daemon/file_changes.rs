//! Changes of the configuration files while the daemon runs: `autoreload` and `callback`.

use std::path::{Path, PathBuf};

use lvs_health::command::{CommandLine, Commands};
use lvs_health::model::Globals;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::config_file::{PERIOD, Watched};

/// Sends the path of a file in use each time it has changed.
pub(super) fn watch(mut in_use: watch::Receiver<Vec<Watched>>) -> mpsc::Receiver<PathBuf> {
    let (sender, receiver) = mpsc::channel(1);
    let mut files = in_use.borrow_and_update().clone();
    tokio::spawn(async move {
        let mut timer = interval(PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !sender.is_closed() {
            timer.tick().await;
            if in_use.has_changed().unwrap_or(false) {
                files = merged(files, &in_use.borrow_and_update());
            }
            // Off the runtime's threads: a file may lie on a server that hangs.
            let look = tokio::task::spawn_blocking(move || (changed(&mut files), files));
            let changed = match look.await {
                Ok((changed, back)) => {
                    files = back;
                    changed
                }
                Err(error) => return error!("the files are no longer watched: {error}"),
            };
            for path in changed {
                if sender.send(path).await.is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

fn changed(files: &mut [Watched]) -> Vec<PathBuf> {
    let changed = files.iter_mut().filter_map(|file| {
        let changed = file.has_changed();
        changed.then(|| file.path().to_owned())
    });
    changed.collect()
}

/// The files in use now. A change that was not sent yet is not lost because the file was read meanwhile: a
/// callback is to run for it.
fn merged(before: Vec<Watched>, now: &[Watched]) -> Vec<Watched> {
    let known = |file: &Watched| before.iter().any(|b| b.path() == file.path());
    let new: Vec<_> = now.iter().filter(|file| !known(file)).cloned().collect();
    let in_use = |file: &Watched| now.iter().any(|n| n.path() == file.path());
    before.into_iter().filter(in_use).chain(new).collect()
}

/// The actions that a configuration file asks for when it has changed.
#[derive(Debug, Default)]
pub(super) struct FileActions {
    /// It is read again.
    pub(super) autoreload: bool,
    callback: Option<String>,
    commands: Commands,
}

impl FileActions {
    /// Takes over the actions of a file that was read.
    pub(super) fn follow(&mut self, globals: &Globals) {
        self.autoreload = globals.autoreload;
        self.callback.clone_from(&globals.callback);
    }

    /// Runs the callback with the file's path, if there is one. The daemon does not wait for it.
    pub(super) fn call_back(&mut self, path: &Path) {
        if let Some(callback) = &self.callback {
            let line = format!("{callback} {}", quoted(path));
            let input = String::new();
            self.commands.run("callback", CommandLine { line, input });
        }
    }
}

/// A path as one word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_takes_a_path_as_one_word() {
        assert_eq!(quoted(Path::new("/etc/ha.d/www.cf")), "'/etc/ha.d/www.cf'");
        assert_eq!(quoted(Path::new("it's; rm")), r"'it'\''s; rm'");
    }
}
