//! `service = http`, `https` and `http_proxy`: a request whose answer has a good status and body.
//!
//! HTTP/1.1, one request per connection. The body is read to its end, because a server that hangs or
//! resets in the middle is not well, but no further than the option `maxbody` says.

mod answer;
mod destination;
mod exchange;
mod redirect;
mod settings;
#[cfg(test)]
mod tests;

use url::Url;

use self::destination::Destination;
pub use self::settings::{Http, HttpProxy, Limits};
use crate::checker::{Failure, Found, Lint, Negotiate, Probe};

/// The request, if it is a whole URL.
fn whole(request: &str) -> Option<Url> {
    Url::parse(request).ok().filter(destination::is_possible)
}

impl Negotiate for Http {
    fn name(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Asks the server itself; a request that is a whole URL, the host that is named there.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let first = match whole(&self.request) {
            Some(url) => {
                let name = self.virtual_host.clone();
                let elsewhere = Destination::elsewhere(url, name, self.tls.as_ref()).await;
                elsewhere.map_err(Failure::Own)?
            }
            None => Destination::own(probe.target(), self)?,
        };
        redirect::follow(probe, self, first).await
    }

    fn lint(&self, lint: &mut Lint) {
        if let Some(pattern) = self.receive.as_ref().filter(|_| self.method == "HEAD")
            && !pattern.is_negative()
        {
            lint.warn(
                "the check can never hold: there is no body for receive after a HEAD request",
                "use httpmethod = GET, or remove receive",
            );
        }
        if let Some(tls) = &self.tls {
            tls.lint(lint);
        }
    }
}

impl Negotiate for HttpProxy {
    fn name(&self) -> &'static str {
        "http_proxy"
    }

    /// Asks another server by way of this one.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let Self(http) = self;
        let Some(url) = whole(&http.request) else {
            let why = format!("\"{}\" is no URL to ask a proxy for", http.request);
            return Err(Failure::Own(why));
        };
        let name = http.virtual_host.clone();
        let first = Destination::proxied(probe.target(), url, name, http.tls.as_ref());
        redirect::follow(probe, http, first).await
    }

    fn lint(&self, lint: &mut Lint) {
        if !self.0.request.contains("://") {
            lint.warn(
                "the check can never hold: what is asked of a proxy is a whole URL",
                "write request = \"http://host/path\"",
            );
        }
        self.0.lint(lint);
    }
}
