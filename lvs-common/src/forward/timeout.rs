//! The idle timeout of a connection: that of its service, if it has one of its own, else that of all.

use crate::connection::{Protocol, Record};
use crate::tables::Tables;

/// Ticks without a packet after which a connection in this state is forgotten.
#[inline(never)]
pub(super) fn timeout<T: Tables>(tables: T, record: Record, protocol: Protocol, state: u8) -> u32 {
    let own = if record.method & Record::OWN_TIMEOUT == 0 {
        0
    } else {
        let plan = tables.plan(tables.service_of(&record));
        plan.map_or(0, |plan| plan.timeout(protocol, state))
    };
    if own == 0 {
        tables.timeout(protocol, state)
    } else {
        own
    }
}
