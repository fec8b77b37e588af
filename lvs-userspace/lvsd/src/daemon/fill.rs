//! Tells the operator of connection tables that are filling, and who fills them.

use std::sync::Arc;

use lvs_api::health::Event;
use lvs_common::network::Network;
use lvs_dataplane::clock;
use lvs_dataplane::director::service_id;
use lvs_dataplane::fill::{Fill, Report, confine, has_others, top_clients};
use lvs_dataplane::kernel::EntryMapping;
use tracing::{info, warn};

use crate::control::Control;

/// Services and client networks that a report names.
const NAMED: usize = 3;

/// Takes what a sweep met in a table, says which service holds more than its share to the program, and logs and
/// publishes what an operator has to know.
pub(super) fn follow<F: Network>(
    control: &Control,
    fill: &mut Fill,
    table: &EntryMapping<F>,
    entries: u64,
    holdings: &[u32],
) {
    let maps = control.maps();
    let now = clock::now();
    let others = |service| has_others(maps, service);
    let report = fill.follow(entries, table.len(), holdings, others, now);
    confine::<F>(maps, fill.crowd(), now);
    let Some(report) = report else {
        return;
    };
    let percent = entries * 100 / u64::from(table.len().max(1));
    let mut text = format!(
        "the IPv{} connection table is {percent} % full: {entries} of {} entries",
        F::NUMBER,
        table.len(),
    );
    let mut holders: Vec<_> = (0..).zip(holdings).filter(|(_, held)| **held > 0).collect();
    holders.sort_by_key(|(_, held)| std::cmp::Reverse(**held));
    let named = |service| {
        service_id(maps, service)
            .map_or_else(|| "a deleted service".to_owned(), |id| id.to_string())
    };
    if report == Report::Filling {
        let parts: Vec<_> = holders
            .iter()
            .take(NAMED)
            .map(|(service, held)| {
                let percent = u64::from(**held) * 100 / u64::from(table.len().max(1));
                format!("{} holds {percent} %", named(*service))
            })
            .collect();
        let holders = parts.join(", ");
        let clients = top_clients(table, NAMED);
        let parts: Vec<_> = clients
            .iter()
            .map(|share| format!("{}/{} {} %", share.network, share.prefix, share.percent))
            .collect();
        let clients = if parts.is_empty() {
            "its clients are spread, no network has more than 1 %".to_owned()
        } else {
            format!("most clients are in {}", parts.join(", "))
        };
        let crowd = fill.crowd().map(|crowd| {
            let service = named(crowd);
            format!("; {service} gets no more than it has")
        });
        text = format!("{text}; {holders}; {clients}{}", crowd.unwrap_or_default());
        warn!("{text}");
    } else {
        info!("{text} again");
    }
    let Some(service) = holders
        .first()
        .and_then(|(service, _)| service_id(maps, *service))
    else {
        return;
    };
    let kind = match report {
        Report::Filling => "table-filling",
        Report::Relieved => "table-relieved",
    };
    control.publish(Arc::new(Event {
        time: Event::now(),
        service: Some(service),
        server: None,
        subject: None,
        event: kind.to_owned(),
        reason: format!("the IPv{} connection table is {percent} % full", F::NUMBER),
        text,
        weight: None,
    }));
}
