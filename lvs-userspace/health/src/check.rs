//! What is asked of a real server. A check is complete: two that are equal are the same probe, and
//! are made once for all who ask.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use super::pattern::Pattern;
use lvs_api::model::Protocol;

/// One check of one real server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is asked.
    pub kind: Kind,
    /// Who is asked: the real server's address, and the port that is checked.
    pub target: SocketAddr,
    /// How the question gets there.
    pub path: Path,
    /// Address it is asked from; none: as the kernel chooses.
    pub source: Option<IpAddr>,
    /// Longest time until there is a connection.
    pub connect_timeout: Duration,
    /// Longest time for the whole of it, the connection included.
    pub timeout: Duration,
}

impl Check {
    /// The same server asked for no more than a connection: what is done between the negotiations of
    /// [`Kind::Combined`].
    #[must_use]
    pub fn connecting(&self) -> Self {
        Self {
            kind: Kind::Connect,
            ..self.clone()
        }
    }
}

/// How a probe gets to the real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Path {
    /// To the server's own address.
    #[default]
    Own,
    /// To the virtual address by way of this server, as clients' packets go.
    Service {
        /// The virtual address and port.
        address: SocketAddr,
        /// How packets are forwarded to the server.
        method: lvs_api::model::Method,
    },
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing: the server is up.
    On,
    /// Nothing: the server is never made up by a check.
    Off,
    /// Whether it accepts a TCP connection.
    Connect,
    /// Whether it answers an echo request.
    Ping {
        /// Echo requests that may go unanswered, and one more.
        attempts: u32,
    },
    /// Whether it serves.
    Negotiate(Service),
    /// [`Kind::Negotiate`] at first and after any failure, then this many times [`Kind::Connect`].
    Combined {
        /// What is negotiated.
        service: Service,
        /// Connections between two negotiations; at least 1.
        connects: u32,
    },
    /// What a command says.
    External(External),
}

/// A command that checks a server: exit code 0 is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct External {
    /// Its path.
    pub command: PathBuf,
    /// A Perl script, run by `perl`.
    pub perl: bool,
    /// First argument: the virtual address or the firewall mark.
    pub virtual_address: String,
    /// Second argument: the virtual port, 0 with a firewall mark.
    pub virtual_port: u16,
    /// Third argument: the real server's address; the check's target may have another port.
    pub server_address: IpAddr,
    /// Fourth argument: the real server's port.
    pub server_port: u16,
    /// Upper threshold of the real server's connections, for `HAPROXY_SERVER_MAXCONN`; 0: none.
    pub max_connections: u32,
    /// Protocol of the virtual service.
    pub protocol: Protocol,
    /// Name of the virtual service, for `HAPROXY_PROXY_NAME`.
    pub service_name: String,
    /// Name of the real server, for `HAPROXY_SERVER_NAME`.
    pub server_name: String,
    /// Exit codes of 2 and more are good as well: they stand for weights.
    pub weighs: bool,
}

/// What is negotiated: a protocol, and what is asked and expected in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// No such protocol: always good.
    None,
    /// `http`, `https`.
    Http(Http),
    /// `http_proxy`: a request by way of the server.
    HttpProxy(Http),
    /// `smtp`, `submission`.
    Smtp {
        /// TLS, after `STARTTLS`.
        tls: Option<Tls>,
    },
    /// `pop`, `pops`.
    Pop(Mailbox),
    /// `imap`, `imaps`.
    Imap(Mailbox),
    /// `ftp`: a file is fetched.
    Ftp {
        /// Who fetches it.
        credentials: Credentials,
        /// The file; empty: none, the login is enough.
        request: String,
        /// What must be in it.
        receive: Option<Pattern>,
    },
    /// `nntp`.
    Nntp,
    /// `ldap`, `ldaps`: a search with exactly one entry.
    Ldap {
        /// Who binds; an empty name binds anonymously.
        credentials: Credentials,
        /// Base of the search.
        base: String,
        /// What must be in the entry's name.
        receive: Option<Pattern>,
        /// With TLS from the start.
        tls: Option<Tls>,
    },
    /// `dns`.
    Dns {
        /// Name that is asked for.
        name: String,
        /// Type of the records, `A`.
        record: String,
        /// What one of the records must say; none: there has to be one.
        receive: Option<Pattern>,
        /// Over TCP.
        tcp: bool,
    },
    /// `mysql`, `pgsql`, `oracle`: a query with at least one row.
    Sql {
        /// Which data base.
        engine: SqlEngine,
        /// Who asks.
        credentials: Credentials,
        /// Data base.
        database: String,
        /// The query; empty: the login is enough.
        query: String,
        /// What one of the rows must say: its columns with tabs between them, `NULL` for none.
        receive: Option<Pattern>,
    },
    /// `sip`: OPTIONS.
    Sip {
        /// Who is asked about.
        login: String,
        /// Over TCP.
        tcp: bool,
    },
    /// `radius`: an Access-Request that is accepted.
    Radius {
        /// Who logs in.
        credentials: Credentials,
        /// Secret shared with the server.
        secret: String,
    },
    /// `redis`: PING, or another command.
    Redis {
        /// Who asks; an empty password asks without.
        credentials: Credentials,
        /// The command; empty: `PING`.
        request: String,
        /// What the answer must say; none: any but an error.
        receive: Option<Pattern>,
    },
    /// `simpletcp`: send, then a line that matches.
    SimpleTcp {
        /// What is sent.
        request: String,
        /// What a line must say.
        receive: Option<Pattern>,
    },
    /// `udp`: a payload, and an answer that matches.
    Udp {
        /// What is sent.
        payload: Vec<u8>,
        /// What the answer must say; none: the port must not be refused.
        receive: Option<Pattern>,
    },
    /// `tls`: a handshake.
    Tls(Tls),
}

/// An HTTP request and what is expected of the answer.
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
    /// What the body must say.
    pub receive: Option<Pattern>,
    /// Credentials of `Authorization: Basic`; an empty name sends none.
    pub credentials: Credentials,
    /// How many redirects are followed.
    pub redirects: u8,
    /// TLS: with the server itself, or, of a proxy, with the host of an `https` URL.
    pub tls: Option<Tls>,
}

/// A mailbox; without a login only the greeting is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// Whose.
    pub credentials: Credentials,
    /// With TLS from the start.
    pub tls: Option<Tls>,
}

/// Name and password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Name; empty: none.
    pub login: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    /// Passwords do not get into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// Data bases that are queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "well-known names")]
pub enum SqlEngine {
    Mysql,
    Postgresql,
    Oracle,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Name asked for (SNI) and verified; none: no name is asked for, and none verified.
    pub name: Option<String>,
    /// File of certificates that the server's has to descend from; none: the machine's.
    pub authorities: Option<PathBuf>,
    /// Take any certificate.
    pub unverified: bool,
}
