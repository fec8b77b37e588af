//! `service = none`: nothing is asked.

use crate::checker::{Checker, Found, Lint, Negotiate, Options, Probe};

/// A check that always holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nothing;

impl Nothing {
    pub(super) fn make(_: &Options) -> Checker {
        Self.into()
    }
}

impl Negotiate for Nothing {
    const HAS_PORT: bool = false;

    fn name(&self) -> &'static str {
        "none"
    }

    async fn probe(&self, _: &Probe<'_>) -> Found {
        Ok("no check".to_owned())
    }

    fn lint(&self, lint: &mut Lint) {
        if lint.has_service {
            return lint.warn(
                "the check can never fail: service = none asks nothing",
                "name a service, or use checktype = connect",
            );
        }
        let service = match lint.virtual_port {
            None => "below a firewall mark no service is known".to_owned(),
            Some(port) => format!("no service is known for port {port}"),
        };
        lint.warn(
            format!("the check can never fail: {service}"),
            "add service = …, or use checktype = connect",
        );
    }
}
