//! The kinds of health checks that `checktype = negotiate` makes, a file each.
//!
//! A kind is its file and its row of [`KINDS`]. The file holds the settings, how they come from the
//! options of a configuration, how a probe is made with them, and which of them are doubtful.

pub mod dns;
pub mod ftp;
pub mod http;
pub mod imap;
pub mod ldap;
pub mod mailbox;
pub mod mysql;
pub mod nntp;
pub mod none;
pub mod oracle;
pub mod pgsql;
pub mod pop;
pub mod query;
pub mod radius;
pub mod redis;
pub mod simpletcp;
pub mod sip;
pub mod smtp;
pub mod tls;
pub mod udp;

use self::Port::{Implies, Usual};
use super::checker::Checker;
use super::options::Options;

/// A kind of health check.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Value of `service`.
    pub name: &'static str,
    /// Its port.
    port: Port,
    /// Makes a check of this kind from the options of a configuration.
    pub make: fn(&Options) -> Checker,
}

/// The port of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// None of its own.
    None,
    /// Checked where no other port is named.
    Usual(u16),
    /// The same; and a virtual service with this port is checked like that where no kind is named, as by
    /// ldirectord. In an old file any other port means `none`.
    Implies(u16),
}

/// All kinds: name, port, and how one is made.
const KINDS: &[Kind] = &[
    kind("dns", Implies(53), dns::Dns::make),
    kind("ftp", Implies(21), ftp::Ftp::make),
    kind("http", Implies(80), http::Http::make),
    kind("https", Implies(443), http::Http::make_tls),
    kind("http_proxy", Implies(3128), http::HttpProxy::make),
    kind("imap", Implies(143), imap::Imap::make),
    kind("imaps", Implies(993), imap::Imap::make_tls),
    kind("ldap", Implies(389), ldap::Ldap::make),
    kind("ldaps", Implies(636), ldap::Ldap::make_tls),
    kind("mysql", Implies(3306), mysql::Mysql::make),
    kind("nntp", Implies(119), nntp::Nntp::make),
    NONE,
    kind("oracle", Implies(1521), oracle::Oracle::make),
    kind("pgsql", Implies(5432), pgsql::Pgsql::make),
    kind("pop", Implies(110), pop::Pop::make),
    kind("pops", Implies(995), pop::Pop::make_tls),
    kind("radius", Implies(1812), radius::Radius::make),
    kind("redis", Usual(6379), redis::Redis::make),
    kind("simpletcp", Port::None, simpletcp::SimpleTcp::make),
    kind("sip", Implies(5060), sip::Sip::make),
    kind("smtp", Implies(25), smtp::Smtp::make),
    kind("submission", Implies(587), smtp::Smtp::make),
    kind("tls", Usual(443), tls::Handshake::make),
    kind("udp", Port::None, udp::Udp::make),
];

/// The kind of a virtual service for which neither a name nor a port implies one: it asks nothing.
const NONE: Kind = kind("none", Port::None, none::Nothing::make);

const fn kind(name: &'static str, port: Port, make: fn(&Options) -> Checker) -> Kind {
    Kind { name, port, make }
}

/// Names of all kinds.
pub const NAMES: &[&str] = &{
    let mut names = [""; KINDS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = KINDS[at].name;
        at += 1;
    }
    names
};

impl Kind {
    /// The kind of this name; without a name, the one that the port of a virtual service implies.
    pub fn find(name: Option<&str>, virtual_port: u16) -> &'static Self {
        let mut kinds = KINDS.iter();
        let found = kinds.find(|kind| match name {
            Some(name) => kind.name == name,
            None => kind.port == Implies(virtual_port),
        });
        found.unwrap_or(&NONE)
    }

    /// The port that is checked where no other is named.
    pub fn port(&self) -> Option<u16> {
        match self.port {
            Port::None => None,
            Usual(port) | Implies(port) => Some(port),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::mysql::Mysql;
    use super::pgsql::Pgsql;
    use super::query::Query;
    use super::*;

    fn hash(checker: &Checker) -> u64 {
        let mut hasher = DefaultHasher::new();
        checker.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn every_kind_is_found_by_its_name_and_by_the_port_that_implies_it() {
        for kind in KINDS {
            assert_eq!(Kind::find(Some(kind.name), 0).name, kind.name);
            if let Implies(port) = kind.port {
                assert_eq!(Kind::find(None, port).name, kind.name);
            }
        }
        assert_eq!(Kind::find(None, 6379).name, "none");
        assert_eq!(NAMES.len(), KINDS.len());
    }

    #[test]
    fn checks_are_equal_by_kind_and_settings() {
        let options = Options::default();
        for kind in KINDS {
            let (one, other) = ((kind.make)(&options), (kind.make)(&options));
            assert_eq!(one, other);
            assert_eq!(hash(&one), hash(&other));
        }
        let query = Query::new(&options);
        let other = Query {
            query: "SELECT 1".to_owned(),
            ..query.clone()
        };
        let mysql = Checker::from(Mysql(query.clone()));
        assert_ne!(mysql, Checker::from(Mysql(other)));
        assert_ne!(mysql, Checker::from(Pgsql(query)));
    }
}
