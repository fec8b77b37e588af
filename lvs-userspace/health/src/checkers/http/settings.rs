//! The settings of HTTP checks.

use std::ops::RangeInclusive;

use crate::checker::Checker;
use crate::credentials::Credentials;
use crate::options::Options;
use crate::pattern::Pattern;
use crate::probe::tls::Tls;

/// Redirects that LWP follows, by which ldirectord makes its requests.
const REDIRECTS: u8 = 7;
/// Bytes of an answer's head at most, if nothing else is said.
const HEAD: u32 = 64 << 10;
/// Bytes of an answer's body that are read, if nothing else is said.
const BODY: u32 = 1 << 20;

/// A check by a request to the server itself, and what is expected of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Http {
    /// `GET`, `HEAD`.
    pub method: String,
    /// Path with its query, or a whole URL.
    pub request: String,
    /// `Host`; none: the server's address.
    pub virtual_host: Option<String>,
    /// Good status codes; empty: 200 to 299.
    pub status: Vec<RangeInclusive<u16>>,
    /// Pattern that the body must match.
    pub receive: Option<Pattern>,
    /// Credentials of `Authorization: Basic`; an empty name sends none.
    pub credentials: Credentials,
    /// Number of redirects that are followed.
    pub redirects: u8,
    /// Limits of an answer: how much of it is read.
    pub limits: Limits,
    /// TLS: with the server itself, or, of a proxy, with the host of an `https` URL.
    pub tls: Option<Tls>,
}

/// A check by a request to another host by way of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProxy(pub Http);

/// Limits of an answer: how much of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of its head at most, or a header line for each 128 of them: with more, the check fails.
    pub head: u32,
    /// Bytes of its body that are read and searched.
    pub body: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HEAD,
            body: BODY,
        }
    }
}

impl Limits {
    pub(super) const fn head(self) -> usize {
        self.head as usize
    }

    /// Header lines at most, of a head of short lines.
    pub(super) const fn lines(self) -> usize {
        self.head() / 128
    }

    pub(super) const fn body(self) -> usize {
        self.body as usize
    }

    /// Bytes that are read from the connection at most: a body in small chunks takes more than its own.
    pub(super) const fn answer(self) -> usize {
        self.head() + 2 * self.body()
    }
}

impl Http {
    /// True if an answer without a head may be good: its text is looked at, and no status is.
    pub(super) fn takes_plain_answers(&self) -> bool {
        let receive = self.receive.as_ref();
        self.status.is_empty() && receive.is_some_and(|pattern| !pattern.is_negative())
    }

    pub(crate) fn make(options: &Options) -> Checker {
        Self::new(options, None).into()
    }

    pub(crate) fn make_tls(options: &Options) -> Checker {
        Self::new(options, Some(options.tls.clone())).into()
    }

    fn new(options: &Options, tls: Option<Tls>) -> Self {
        let request = options.request.as_deref().unwrap_or("/");
        let slash = if request.contains("://") || request.starts_with('/') {
            ""
        } else {
            "/"
        };
        Self {
            method: options.http_method.as_deref().unwrap_or("GET").to_owned(),
            request: format!("{slash}{request}"),
            virtual_host: options.virtual_host.clone().filter(|name| !name.is_empty()),
            status: options.status.clone(),
            receive: options.receive.clone(),
            credentials: options.credentials.clone(),
            redirects: options.redirects.unwrap_or(REDIRECTS),
            limits: Limits {
                head: options.max_head.unwrap_or(HEAD),
                body: options.max_body.unwrap_or(BODY),
            },
            tls,
        }
    }
}

impl HttpProxy {
    pub(crate) fn make(options: &Options) -> Checker {
        Self(Http::new(options, Some(options.tls.clone()))).into()
    }
}
