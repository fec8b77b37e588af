//! The deleted servers, as IPVS's trash: one that is added again meanwhile finds its connections and
//! counters.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kernel::wait_for_readers;

/// IPVS keeps a deleted server at least this long after its last connection.
const KEPT: Duration = Duration::from_mins(2);

/// Deleted servers by index.
#[derive(Default)]
pub(super) struct Trash(BTreeMap<u32, Deleted>);

#[derive(Default)]
struct Deleted {
    /// A grace period has passed: no packet can still pick it.
    unpickable: bool,
    /// Start of the time without connections.
    idle: Option<Instant>,
}

impl Trash {
    pub(super) fn insert(&mut self, server: u32) {
        self.0.insert(server, Deleted::default());
    }

    pub(super) fn remove(&mut self, server: u32) {
        self.0.remove(&server);
    }

    pub(super) fn contains(&self, server: u32) -> bool {
        self.0.contains_key(&server)
    }

    /// Servers that have been without connections for two minutes, or (`at_once`) all that have none.
    pub(super) fn expired(
        &mut self,
        at_once: bool,
        has_connections: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        if self.0.values().any(|deleted| !deleted.unpickable) {
            wait_for_readers();
        }
        let now = Instant::now();
        let mut expired = Vec::new();
        for (&server, deleted) in &mut self.0 {
            deleted.unpickable = true;
            if has_connections(server) {
                deleted.idle = None;
                continue;
            }
            let since = *deleted.idle.get_or_insert(now);
            if at_once || now.duration_since(since) >= KEPT {
                expired.push(server);
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_connections_stays() {
        let mut trash = Trash::default();
        trash.insert(7);
        trash.insert(8);
        assert!(
            trash.expired(false, |_| false).is_empty(),
            "kept for two minutes"
        );
        assert_eq!(trash.expired(true, |server| server == 7), [8]);
        trash.remove(8);
        assert!(trash.contains(7) && !trash.contains(8));
    }
}
