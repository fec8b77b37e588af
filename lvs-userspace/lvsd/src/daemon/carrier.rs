//! The carrier of the interfaces that virtual addresses belong to: without it no client reaches a master.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use lvs_dataplane::neighbour::Interfaces as LinkTable;
use tokio::sync::watch;

use super::stop::ended;
use crate::control::Control;

/// Notes which of them have none, whenever interfaces change, until the end.
pub(super) async fn follow(
    control: Arc<Control>,
    mut links: watch::Receiver<Arc<LinkTable>>,
    stopped: watch::Receiver<()>,
) {
    let status = control.roles().status();
    let addresses = status.addresses.into_iter();
    let wanted: BTreeSet<String> = addresses.map(|it| it.address.interface).collect();
    if wanted.is_empty() {
        return;
    }
    let mut end = std::pin::pin!(ended(stopped));
    loop {
        let without = without_carrier(&wanted, &links.borrow_and_update());
        if let Some(without) = without {
            let agreement = control.agreement();
            agreement.set_without_carrier(Some(without), Instant::now());
        }
        tokio::select! {
            () = &mut end => return,
            changed = links.changed() => if changed.is_err() { return },
        }
    }
}

/// Those of these interfaces that cannot send; none: the interfaces are not known yet. One that is not there is not
/// among them: whoever is to be master says so by its name.
fn without_carrier(wanted: &BTreeSet<String>, links: &LinkTable) -> Option<BTreeSet<String>> {
    if links.is_empty() {
        return None;
    }
    let down = links.values().filter(|link| !link.can_send());
    let down = down.filter(|link| wanted.contains(&link.name));
    Some(down.map(|link| link.name.clone()).collect())
}
