//! The part of the metrics that a request asks for.

use std::collections::BTreeSet;

/// The query of a request: `/metrics?scope=director&scope=service`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a parameter of its own"
)]
pub(crate) struct Query {
    /// Of the director itself, of virtual services, of real servers.
    pub(crate) director: bool,
    pub(crate) services: bool,
    pub(crate) servers: bool,
    /// Names of node_exporter's ipvs collector instead.
    pub(crate) node_exporter: bool,
    /// Virtual services, by label or name; empty: all.
    pub(crate) only: BTreeSet<String>,
}

impl Query {
    /// Parses the part of an address behind the question mark; the error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut scopes = BTreeSet::new();
        let (mut node_exporter, mut only) = (false, BTreeSet::new());
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match (&*key, &*value) {
                ("scope", "director" | "service" | "server") => {
                    scopes.insert(value.into_owned());
                }
                ("scope", other) => {
                    return Err(format!(
                        "scope is director, service or server, not `{other}'"
                    ));
                }
                ("names", "lvs") => node_exporter = false,
                ("names", "node-ipvs") => node_exporter = true,
                ("names", other) => {
                    return Err(format!("names is lvs or node-ipvs, not `{other}'"));
                }
                ("service", _) => {
                    only.insert(value.into_owned());
                }
                (other, _) => {
                    return Err(format!(
                        "`{other}' is not known: there are scope, service and names"
                    ));
                }
            }
        }
        let wanted = |scope| scopes.is_empty() || scopes.contains(scope);
        Ok(Self {
            director: wanted("director"),
            services: wanted("service"),
            servers: wanted("server"),
            node_exporter,
            only,
        })
    }

    /// True if this service is asked for.
    pub(crate) fn wants(&self, label: &str, name: &str) -> bool {
        self.only.is_empty()
            || self.only.contains(label)
            || (!name.is_empty() && self.only.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_services_are_named_in_the_query() {
        let all = Query::parse("").unwrap();
        assert!(all.director && all.services && all.servers && all.wants("TCP 192.0.2.1:80", ""));
        let some =
            Query::parse("scope=director&scope=service&service=web&service=TCP%20192.0.2.1:80")
                .unwrap();
        assert!(some.director && some.services && !some.servers);
        assert!(some.wants("UDP 192.0.2.9:53", "web") && some.wants("TCP 192.0.2.1:80", ""));
        assert!(!some.wants("UDP 192.0.2.9:53", ""));
        assert!(Query::parse("names=node-ipvs").unwrap().node_exporter);
        for wrong in ["scope=all", "names=x", "what=1"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
