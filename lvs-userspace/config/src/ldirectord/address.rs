//! Hosts, ports and forwarding methods as they are written: `host:port`, `[v6]:port`, `gate`.

use lvs_api::model::{Method, Protocol};
use lvs_ipvsadm::ports::ServiceNames;

/// A port as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Number(u16),
    /// A name, whose number depends on the protocol.
    Name(String),
}

impl Port {
    /// A number, or what may be a name.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().ok().map(Self::Number)
        } else {
            Some(Self::Name(text.to_owned()))
        }
    }

    /// Its number, if the system knows the name.
    pub(super) fn number(&self, protocol: Protocol) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) => ServiceNames::system().port(name, protocol),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

/// A host, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort<'a> {
    /// Address or name, without brackets.
    pub(super) host: &'a str,
    /// Stands in brackets.
    pub(super) bracketed: bool,
    /// The text after the colon; none: there is no colon.
    pub(super) port: Option<&'a str>,
}

impl<'a> HostPort<'a> {
    /// Splits at the colon; `None`: a bracket is not closed, or something else follows it.
    ///
    /// Sample files have two colons in one place (`192.0.2.1::5060`): ldirectord reads one.
    pub(super) fn split(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':')?),
            };
            return Some(Self {
                host,
                bracketed: true,
                port,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => (text, None),
        };
        Some(Self {
            host,
            bracketed: false,
            port,
        })
    }
}

/// `gate`, `masq` or `ipip`.
pub(super) fn method(word: &str) -> Option<Method> {
    match word {
        "gate" => Some(Method::Direct),
        "masq" => Some(Method::Nat),
        "ipip" => Some(Method::Tunnel),
        _ => None,
    }
}
