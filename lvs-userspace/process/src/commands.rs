//! Commands of health checks as somebody: a user without privileges, the user that the daemon was started as, or nobody else.

use std::io;

use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, oneshot};

use crate::user::User;
use crate::{children, system_commands};

/// Commands that are being started at once at most: each holds a thread.
static STARTS: Semaphore = Semaphore::const_new(64);

/// Starts a command as a user with no privileges beyond that user's; as root: with those that the daemon was started
/// with; without one: with those of the calling thread. The caller waits for its end.
///
/// # Errors
///
/// It cannot be started.
pub async fn spawn(mut command: Command, user: Option<&User>) -> io::Result<Child> {
    match user {
        Some(root) if root.is_root() => {
            root.apply_group(&mut command);
            return system_commands::spawn(command).await;
        }
        Some(user) => {
            user.apply(&mut command);
            children::add_check_user(user.id());
        }
        None => {}
    }
    let permit = STARTS.acquire().await.map_err(io::Error::other)?;
    let (answer, started) = oneshot::channel();
    // Off the runtime's threads: a file system that does not answer holds up nobody else.
    drop(tokio::task::spawn_blocking(move || {
        let _permit = permit;
        children::start_for(command, answer);
    }));
    started.await.map_err(io::Error::other)?
}
