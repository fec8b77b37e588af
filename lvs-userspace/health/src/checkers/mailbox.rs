//! The mailbox that pop and imap log in to.

use crate::credentials::Credentials;
use crate::lint::Lint;
use crate::options::Options;
use crate::probe::tls::Tls;

/// A mailbox; without a login only the greeting is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// Login of its owner.
    pub credentials: Credentials,
    /// With TLS from the start.
    pub tls: Option<Tls>,
}

impl Mailbox {
    pub(super) fn new(options: &Options, tls: Option<&Tls>) -> Self {
        Self {
            credentials: options.credentials.clone(),
            tls: tls.cloned(),
        }
    }

    pub(super) fn lint(&self, lint: &mut Lint) {
        if let Some(tls) = &self.tls {
            tls.lint(lint);
        }
    }
}
