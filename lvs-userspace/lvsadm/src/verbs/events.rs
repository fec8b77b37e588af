//! `events`: changes of state as they happen.

use std::io::{self, ErrorKind, Stdout, Write};
use std::os::fd::AsFd as _;
use std::thread;

use lvs_api::client::{Client, ClientError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::oneshot;

use super::failure::Failure;

/// Prints events as they happen, until lvsd is stopped.
///
/// Or until nobody reads them any more, which is not noticed only at the next one: that may be days away.
pub(super) async fn follow(client: &mut Client, out: &mut Stdout) -> Result<(), Failure> {
    let mut events = client.events().await.map_err(disconnected)?;
    let mut reader_ends = std::pin::pin!(reader_ends(io::stdout()));
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = &mut reader_ends => return Err(io::Error::from(ErrorKind::BrokenPipe).into()),
        };
        let event = match event {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(error) => return Err(disconnected(error)),
        };
        let line = serde_json::to_string(&event).map_err(io::Error::from)?;
        writeln!(out, "{line}")?;
        // The reader acts on each event at once.
        out.flush()?;
    }
}

fn disconnected(error: ClientError) -> Failure {
    match error {
        ClientError::Broken(_) => Failure::Disconnected,
        error => error.into(),
    }
}

/// Returns once the other end of a pipe or socket is closed; never for files, which have none.
async fn reader_ends(out: Stdout) {
    let (over, ended) = oneshot::channel();
    // Nobody waits for this thread at the end of the program.
    thread::spawn(move || {
        // Without events: errors and the end of the other side alone.
        let mut watched = [PollFd::new(out.as_fd(), PollFlags::empty())];
        if poll(&mut watched, PollTimeout::NONE).is_ok() {
            let _ = over.send(());
        }
    });
    if ended.await.is_err() {
        std::future::pending::<()>().await;
    }
}
