//! Changes after which a packet may take another way: the program looks every way that it knows up again.
//!
//! Whatever may change the answer of a lookup counts: routes, rules, next-hop objects, addresses, interfaces, their
//! settings, and neighbours whose Ethernet address is another one or is lost. That a neighbour is confirmed, or found
//! at last, changes no way that is known.

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lvs_common::abi::{Config, Mac};
use tokio::time::{Instant, sleep_until};

use super::decode;
use super::events::{Burst, Events};
use super::tables::{Interface, Neighbour, NeighbourKey};
use super::update::Update;
use crate::kernel::Maps;
use crate::netlink::Error;

/// Least time between two reports. The first change is reported at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Has the program look up every way again that it knows.
pub fn advance_routes(maps: &Maps) {
    if let Some(word) = maps.config.word(0, offset_of!(Config, route_generation)) {
        word.fetch_add(1, Ordering::Release);
    }
}

/// Follows the changes in the network namespace of the calling thread.
pub struct RouteChanges {
    events: Events,
    known: Known,
    /// When the last report was.
    reported: Option<Instant>,
    /// Something changed since.
    pending: bool,
    /// Among it perhaps settings of interfaces.
    settings: bool,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Settings of interfaces (`forwarding`, `rp_filter`) may be among it.
    pub settings: bool,
}

impl RouteChanges {
    /// Begins: every later change is seen.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            events: Events::open()?,
            known: Known::default(),
            reported: None,
            // Something may have changed before.
            pending: true,
            settings: true,
        })
    }

    /// Waits until something changed since the last call returned. Changes in quick succession are one.
    pub async fn next(&mut self) -> Result<Changed, Error> {
        loop {
            let now = Instant::now();
            let due = self.reported.map_or(now, |last| last + PAUSE);
            if self.pending && now >= due {
                self.pending = false;
                self.reported = Some(now);
                return Ok(Changed {
                    settings: std::mem::take(&mut self.settings),
                });
            }
            let wait = async {
                if self.pending {
                    sleep_until(due).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                burst = self.events.next() => self.pending |= match burst? {
                    Burst::Messages(messages) => {
                        let mut changed = false;
                        for message in &messages {
                            if let Some(message) = &message.0 {
                                changed |= decode::update(message)
                                    .is_some_and(|update| self.known.apply(update));
                            } else {
                                self.settings = true;
                                changed = true;
                            }
                        }
                        changed
                    }
                    Burst::Overrun => {
                        self.settings = true;
                        true
                    }
                },
                () = wait => {}
            }
        }
    }
}

/// The state so far, to tell changes from repetitions.
#[derive(Debug, Default)]
struct Known {
    interfaces: HashMap<u32, Interface>,
    /// Ethernet addresses of neighbours.
    neighbours: HashMap<NeighbourKey, Mac>,
}

impl Known {
    /// Applies an update; true if a way may be another one now.
    fn apply(&mut self, update: Update) -> bool {
        match update {
            Update::Interface(index, Some(state)) => {
                self.interfaces.get(&index) != Some(&state) && {
                    self.interfaces.insert(index, state);
                    true
                }
            }
            Update::Interface(index, None) => {
                self.interfaces.remove(&index);
                self.neighbours.retain(|key, _| key.interface != index);
                true
            }
            Update::Neighbour(key, Some(Neighbour::Known(mac) | Neighbour::Fixed(mac))) => {
                // One that is new to us may have replaced another before the first message.
                self.neighbours.insert(key, mac) != Some(mac)
            }
            Update::Neighbour(_, Some(Neighbour::Incomplete)) => false,
            Update::Neighbour(key, _) => {
                self.neighbours.remove(&key);
                true
            }
            Update::Address(..)
            | Update::AddressRemoved(..)
            | Update::Routes(_)
            | Update::AllRoutes => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 2];

    #[test]
    fn a_neighbour_counts_when_its_ethernet_address_changes_or_is_lost() {
        let mut known = Known::default();
        let key = NeighbourKey {
            interface: 2,
            address: [10, 0, 0, 1].into(),
        };
        let mut apply = |state| known.apply(Update::Neighbour(key, state));
        assert!(apply(Some(Neighbour::Known(MAC))));
        assert!(!apply(Some(Neighbour::Known(MAC))), "confirmed");
        assert!(!apply(Some(Neighbour::Fixed(MAC))));
        assert!(apply(Some(Neighbour::Known(OTHER))));
        assert!(apply(Some(Neighbour::Failed)));
        assert!(!apply(Some(Neighbour::Incomplete)), "asked again");
        assert!(apply(Some(Neighbour::Known(OTHER))));
        assert!(apply(None));
    }

    #[test]
    fn an_interface_counts_when_it_changes() {
        let mut known = Known::default();
        let up = Interface::example("eth0", "");
        let down = Interface {
            carrier: false,
            ..up.clone()
        };
        let mut apply = |state| known.apply(Update::Interface(2, state));
        assert!(apply(Some(up.clone())));
        assert!(!apply(Some(up.clone())));
        assert!(apply(Some(down)));
        assert!(apply(Some(up)));
        assert!(apply(None));
    }
}
