//! `service = nntp`: a greeting of a server that may be read from (RFC 3977, section 5.1).

use crate::checker::{Checker, Found, Negotiate, Options, Probe};
use crate::probe::connection::Connection;
use crate::probe::replies;

/// A check of a news server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nntp;

impl Nntp {
    pub(super) fn make(_: &Options) -> Checker {
        Self.into()
    }
}

impl Negotiate for Nntp {
    fn name(&self) -> &'static str {
        "nntp"
    }

    /// 200 allows posting, 201 does not; 400 and 502 are refusals.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let awaited = "greeting";
        let mut connection = Connection::open(probe).await?;
        let reply = replies::expect(&mut connection, awaited, &[200, 201]).await?;
        replies::quit(&mut connection, "QUIT").await;
        Ok(reply.phrase(awaited))
    }
}
