//! The connection table: sets of eight ways, shared without locks by every CPU and the daemon.
//!
//! A key has two sets. A connection goes into the first one; when that is full, into the second,
//! after the first set's hint made every later look-up try both. Within a set, look-ups begin at a
//! home way, so that most hits touch one cache line.
//!
//! # Races
//!
//! - *Ownership.* A way changes hands only by compare-and-exchange on its tag. Whoever moves it to
//!   busy owns it until it publishes another tag.
//! - *Readers* copy what they need and look at the tag again: when generation or fingerprint changed
//!   meanwhile, it was another connection's data and counts as a miss.
//! - *Two inserters of one key.* After claiming a way, an inserter looks at all ways again. A claim and
//!   that second look are separated by a full barrier on both sides, so of two claimers at least
//!   one sees the other's busy tag with the same fingerprint, gives its way back and tries again.
//!   The hint is set before a claim in the second set, and the second look reads it after its own
//!   claim, which extends the argument to both sets.
//! - *Removal.* Only the winner of the exchange from live to busy accounts for the connection, and
//!   it accounts for exactly the state in the tag it replaced.
//! - *Recycling* is one exchange from live to claimed: the way is at no moment anybody else's. Of a NAT connection
//!   whichever entry is in the way goes first and takes the other along. A packet that steps the connection at that
//!   moment may win the other one: a reply entry without a connection is left to the sweep, a connection without
//!   its reply entry is removed by another attempt.

mod find;
mod glance;
mod insert;
mod new;
mod pair;
mod pin;
mod place;
mod recycling;
mod remove;
mod room;
mod slot;
mod ways;

pub use find::{by_number, fetch, find, find_first, full, inserted, is_claimed, unchanged};
pub(crate) use glance::PAIRS;
pub use insert::{insert, insert_anywhere, insert_at_once};
pub use new::{New, Survey};
pub use pair::complete_pair;
pub use pin::{pin, tie};
pub use place::Place;
pub use recycling::{PROVEN_PACKETS, PROVEN_TIME, Standing, alone};
pub use remove::{discard, remove};
pub use slot::{Inserted, Refused, Slot};
pub use ways::{Store, Ways};
