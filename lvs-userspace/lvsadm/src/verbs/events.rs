//! `events`: changes of state as they happen.

use std::io::Write;

use lvs_api::client::{Client, ClientError};

use super::failure::Failure;

/// Prints events as they happen, until lvsd ends.
pub(super) async fn follow(client: &mut Client, out: &mut impl Write) -> Result<(), Failure> {
    let mut events = client.events().await?;
    loop {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            // A daemon that ends does not wait for its clients.
            Ok(None) | Err(ClientError::Broken(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let line = serde_json::to_string(&event).map_err(std::io::Error::from)?;
        writeln!(out, "{line}")?;
        // The reader acts on each event at once.
        out.flush()?;
    }
}
