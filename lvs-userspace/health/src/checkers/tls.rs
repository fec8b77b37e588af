//! `service = tls`: a handshake.

use crate::checker::{Checker, Found, Lint, Negotiate, Options, Probe};
use crate::probe::connection::Connection;
use crate::probe::tls::Tls;

/// A TLS handshake, and nothing after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handshake(pub Tls);

impl Handshake {
    pub(super) fn make(options: &Options) -> Checker {
        Self(options.tls.clone()).into()
    }
}

impl Negotiate for Handshake {
    fn name(&self) -> &'static str {
        "tls"
    }

    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let mut connection = Connection::open_tls(probe, Some(&self.0)).await?;
        // A clean end; a server that no longer reads it has made the handshake all the same.
        connection.finish_sending().await.ok();
        Ok("TLS handshake".to_owned())
    }

    fn lint(&self, lint: &mut Lint) {
        self.0.lint(lint);
    }
}
