//! The process group of a command.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::runtime::Handle;

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// A command and all that it starts, unless they leave its process group.
pub(crate) struct Group {
    /// None once [`Ending`] owns it.
    child: Option<Child>,
}

impl Group {
    /// The group that a child leads.
    pub(crate) fn new(child: Child) -> Self {
        Self { child: Some(child) }
    }

    /// Waits until the command itself has ended, and ends what it left in its group.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let id = child.id();
        let status = child.wait().await?;
        // Nobody else's: whoever is left keeps the number of the group, and the kernel gives a free one again only
        // after all others.
        signal(id, Signal::SIGKILL);
        Ok(status)
    }
}

impl Drop for Group {
    /// Ends a command that has not ended by itself: SIGTERM, and SIGKILL after [`GRACE`].
    fn drop(&mut self) {
        let Some(child) = self.child.take().filter(|child| child.id().is_some()) else {
            return;
        };
        let mut ending = Ending(child);
        ending.signal(Signal::SIGTERM);
        // Without a runtime nothing waits, and SIGKILL follows at once.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(GRACE).await;
                ending.signal(Signal::SIGKILL);
                ending.0.wait().await.ok();
            });
        }
    }
}

/// A command whose time is over. It is not reaped before the last signal: its number stays its own,
/// and so does that of its group.
struct Ending(Child);

impl Ending {
    fn signal(&self, what: Signal) {
        signal(self.0.id(), what);
    }
}

/// Sends a signal to a process group, which may be gone.
fn signal(group: Option<u32>, signal: Signal) {
    if let Some(group) = group.and_then(|id| i32::try_from(id).ok()) {
        killpg(Pid::from_raw(group), signal).ok();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
