//! The file on disk, while the daemon runs: `autoreload` and `callback`.

use std::path::Path;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::config::ldirectord::Globals;
use crate::health::command::{CommandLine, Commands};
use crate::watched::{PERIOD, Watched};

/// Tells each time the file has changed. One change waits; further ones are the same.
pub(super) fn changes(watched: Option<Watched>) -> mpsc::Receiver<()> {
    let (tell, told) = mpsc::channel(1);
    let Some(mut watched) = watched else {
        return told;
    };
    tokio::spawn(async move {
        let mut timer = interval(PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !tell.is_closed() {
            timer.tick().await;
            // Off the runtime's threads: the file may lie on a server that hangs.
            let look = tokio::task::spawn_blocking(move || (watched.has_changed(), watched));
            let changed = match look.await {
                Ok((changed, back)) => {
                    watched = back;
                    changed
                }
                Err(error) => return error!("the file is no longer watched: {error}"),
            };
            if changed {
                let _ = tell.try_send(());
            }
        }
    });
    told
}

/// What a file wants to happen when it has changed.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// It is read again.
    pub(super) autoreload: bool,
    callback: Option<String>,
    commands: Commands,
}

impl Habits {
    /// Those of this file from now on.
    pub(super) fn follow(&mut self, globals: &Globals) {
        self.autoreload = globals.autoreload;
        self.callback.clone_from(&globals.callback);
    }

    /// Runs the callback with the file's path, if there is one. Nobody waits for it.
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
