//! Watches over the source addresses of full NAT: told in the log are those that this machine lacks, and ports that
//! run out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lvs_common::verdict::Reason;
use lvs_dataplane::source_usage;
use tracing::{info, warn};

use crate::control::Control;

/// Looks once more at each call.
pub(super) fn watcher() -> impl FnMut(&Control) + Send + 'static {
    let mut missing = BTreeSet::new();
    let mut refused = None;
    move |control| {
        watch_addresses(control, &mut missing);
        let count = control.maps().verdicts.count(Reason::NoSource);
        let before = refused.replace(count).unwrap_or(count);
        if count > before {
            report_exhausted(control, count - before);
        }
    }
}

fn watch_addresses(control: &Control, missing: &mut BTreeSet<IpAddr>) {
    let now = control.director().foreign_sources();
    for address in now.difference(missing) {
        warn!(
            "source address {address} of full NAT is not on this director: replies to it do not come back until it is"
        );
    }
    for address in missing.difference(&now) {
        info!("source address {address} of full NAT is on this director");
    }
    *missing = now;
}

fn report_exhausted(control: &Control, connections: u64) {
    let most = source_usage::busiest(control.maps()).map_or_else(String::new, |usage| {
        let source_usage::SourceUsage {
            server,
            source,
            ports,
        } = usage;
        format!(
            ": {ports} connections go from {source} to {server}, more than from and to any other"
        )
    });
    warn!(
        "{connections} packets were dropped for want of a free source port towards their real server{most}; \
         more source addresses or ports (snat, --snat) make room"
    );
}
