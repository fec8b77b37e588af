//! `events`.

use std::io::Write;

use super::failure::Failure;
use crate::control::client::Client;

/// Prints events as they happen, until lvsd ends.
pub(super) async fn follow(client: &mut Client, out: &mut impl Write) -> Result<(), Failure> {
    let mut events = client.events().await?;
    while let Some(event) = events.next().await? {
        let line = serde_json::to_string(&event).map_err(std::io::Error::from)?;
        writeln!(out, "{line}")?;
        // Whoever reads this acts on it.
        out.flush()?;
    }
    Ok(())
}
