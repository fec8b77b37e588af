//! The destination of a request, at first and after a redirect.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::settings::Http;
use crate::outcome::{Failure, excerpt};
use crate::probe::error::reason;
use crate::probe::tls::Tls;

/// The destination of a request.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// The resource.
    pub(super) url: Url,
    /// The address that is connected to.
    pub(super) address: SocketAddr,
    /// `Host`.
    pub(super) host: String,
    /// TLS, if there is any.
    pub(super) tls: Option<Tls>,
    /// `address` is that of a proxy.
    pub(super) proxied: bool,
    /// The real server, which may see the credentials; any other may not.
    pub(super) trusted: bool,
}

impl Destination {
    /// The real server itself.
    pub(super) fn own(target: SocketAddr, http: &Http) -> Result<Self, Failure> {
        let scheme = if http.tls.is_some() { "https" } else { "http" };
        let slash = if http.request.starts_with('/') {
            ""
        } else {
            "/"
        };
        let url = format!("{scheme}://{target}{slash}{}", http.request);
        let url = Url::parse(&url)
            .map_err(|error| Failure::Own(format!("\"{}\": {error}", http.request)))?;
        Ok(Self {
            url,
            address: target,
            host: http
                .virtual_host
                .clone()
                .unwrap_or_else(|| bare(target.ip())),
            tls: http.tls.clone(),
            proxied: false,
            trusted: true,
        })
    }

    /// Another host, by way of the real server.
    pub(super) fn proxied(
        target: SocketAddr,
        url: Url,
        virtual_host: Option<String>,
        tls: Option<&Tls>,
    ) -> Self {
        Self {
            host: virtual_host.unwrap_or_else(|| authority(&url)),
            tls: by_scheme(&url, tls),
            url,
            address: target,
            proxied: true,
            trusted: true,
        }
    }

    /// Another host. Its name is looked up on a thread of the runtime's pool: the one thing a probe
    /// does that can outlast it. The error says why it has no address.
    pub(super) async fn elsewhere(
        url: Url,
        virtual_host: Option<String>,
        tls: Option<&Tls>,
    ) -> Result<Self, String> {
        let port = port(&url);
        let to = match url.host() {
            Some(Host::Ipv4(address)) => SocketAddr::new(address.into(), port),
            Some(Host::Ipv6(address)) => SocketAddr::new(address.into(), port),
            Some(Host::Domain(name)) => look_up(name, port).await?,
            None => return Err("a URL without a host".to_owned()),
        };
        Ok(Self {
            host: virtual_host.unwrap_or_else(|| authority(&url)),
            tls: by_scheme(&url, tls),
            url,
            address: to,
            proxied: false,
            trusted: false,
        })
    }

    /// The destination that a redirect leads to.
    ///
    /// A redirect to the name that was asked for means the same server, not whomever the name
    /// resolves to: that would often be the virtual address, and so any server. It keeps the port
    /// unless the URL names one or changes the scheme, for clients see another port than the
    /// director does.
    pub(super) async fn redirected(&self, url: Url, http: &Http) -> Result<Self, Failure> {
        if self.proxied {
            let tls = http.tls.as_ref().map(nameless);
            return Ok(Self::proxied(self.address, url, None, tls.as_ref()));
        }
        let same_address = url.host_str() == self.url.host_str();
        let same_name = url
            .host_str()
            .is_some_and(|host| host.eq_ignore_ascii_case(name_of(&self.host)));
        if !same_address && !same_name {
            let found = format!("a redirect to {}", excerpt(url.as_str().as_bytes()));
            let elsewhere = Self::elsewhere(url, None, None).await;
            return elsewhere.map_err(|why| {
                Failure::answer(format!("{found} ({why})"), "one that can be followed")
            });
        }
        let port = match url.port() {
            None if url.scheme() == self.url.scheme() && !same_address => self.address.port(),
            _ => port(&url),
        };
        let tls = match (url.scheme(), &http.tls, self.trusted) {
            ("https", Some(tls), true) => Some(tls.clone()),
            ("https", ..) => Some(Tls {
                name: Some(name_of(&self.host).to_owned()),
                ..Tls::default()
            }),
            _ => None,
        };
        Ok(Self {
            url,
            address: SocketAddr::new(self.address.ip(), port),
            tls,
            ..self.clone()
        })
    }
}

/// The first address of a name; the error says why it has none.
async fn look_up(name: &str, port: u16) -> Result<SocketAddr, String> {
    let none = |why: &str| format!("no address of {}: {why}", excerpt(name.as_bytes()));
    let found = tokio::net::lookup_host((name, port)).await;
    let mut found = found.map_err(|error| {
        let why = reason(&error);
        // The library's words before those of the resolver.
        let why = why.strip_prefix("failed to lookup address information: ");
        none(&why.map_or_else(|| reason(&error), str::to_lowercase))
    })?;
    found.next().ok_or_else(|| none("there is none"))
}

/// TLS for the host of an `https` URL: where the configuration has no name, the host's is sent and
/// verified.
fn by_scheme(url: &Url, tls: Option<&Tls>) -> Option<Tls> {
    let own = || url.host_str().map(|host| name_of(host).to_owned());
    (url.scheme() == "https").then(|| {
        let mut tls = tls.cloned().unwrap_or_default();
        tls.name = tls.name.or_else(own);
        tls
    })
}

/// The same for another host.
fn nameless(tls: &Tls) -> Tls {
    Tls {
        name: None,
        ..tls.clone()
    }
}

/// A URL that a request can be sent to.
pub(super) fn is_possible(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// The port of a URL, its scheme's if it names none.
pub(super) fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(80)
}

/// Host, and port if it is not the scheme's.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An address as a URL has it, without a port.
fn bare(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The name in `name:port`, without the brackets of an address.
fn name_of(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(virtual_host: Option<&str>) -> Http {
        Http {
            method: "GET".to_owned(),
            request: "/a/b".to_owned(),
            virtual_host: virtual_host.map(str::to_owned),
            status: vec![],
            receive: None,
            credentials: crate::credentials::Credentials::default(),
            redirects: 1,
            limits: crate::checkers::http::Limits::default(),
            tls: None,
        }
    }

    async fn leads(virtual_host: Option<&str>, location: &str) -> String {
        let http = http(virtual_host);
        let target = "127.0.0.1:8080".parse().unwrap();
        let at = Destination::own(target, &http).unwrap();
        let url = at.url.join(location).unwrap();
        let led = at.redirected(url, &http).await.unwrap();
        let path = &led.url[url::Position::BeforePath..];
        let tls = led.tls.map(|tls| tls.name);
        format!(
            "{} {} {path} {tls:?} {}",
            led.address, led.host, led.trusted
        )
    }

    #[tokio::test]
    async fn a_redirect_to_the_server_itself_stays_there() {
        let name = Some("www.example.com");
        for (virtual_host, location, to) in [
            (None, "c", "127.0.0.1:8080 127.0.0.1 /a/c None true"),
            (None, "/c?d", "127.0.0.1:8080 127.0.0.1 /c?d None true"),
            (
                None,
                "http://127.0.0.1/c",
                "127.0.0.1:80 127.0.0.1 /c None true",
            ),
            (name, "../c", "127.0.0.1:8080 www.example.com /c None true"),
            (
                name,
                "http://WWW.example.com/c",
                "127.0.0.1:8080 www.example.com /c None true",
            ),
            (
                name,
                "https://www.example.com/c",
                "127.0.0.1:443 www.example.com /c Some(Some(\"www.example.com\")) true",
            ),
            (
                name,
                "http://127.0.0.2/c",
                "127.0.0.2:80 127.0.0.2 /c None false",
            ),
            (None, "http://[::1]:81/", "[::1]:81 [::1]:81 / None false"),
        ] {
            assert_eq!(leads(virtual_host, location).await, to, "{location}");
        }
    }

    #[test]
    fn a_host_may_have_a_port_and_brackets() {
        assert_eq!(name_of("www:80"), "www");
        assert_eq!(name_of("[::1]:80"), "::1");
        assert_eq!(name_of("[::1]"), "::1");
        assert_eq!(bare("::1".parse().unwrap()), "[::1]");
    }
}
