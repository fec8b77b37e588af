//! `nntp`: a greeting of a server that may be read from (RFC 3977, section 5.1).

use super::connection::Connection;
use super::{Found, Probe, dialogue};

/// 200 allows posting, 201 does not; 400 and 502 are refusals.
pub(super) async fn probe(probe: &Probe<'_>) -> Found {
    let awaited = "greeting";
    let mut connection = Connection::open(probe).await?;
    let reply = dialogue::expect(&mut connection, awaited, &[200, 201]).await?;
    dialogue::quit(&mut connection, "QUIT").await;
    Ok(reply.phrase(awaited))
}
