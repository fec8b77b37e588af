//! The devices of the network namespace: what each can do for the packet path, and where it runs on them.
//!
//! - `netdev`: what the kernel says of its devices and XDP.
//! - `modes`: the operator's words; `decide`: XDP, TC or both, without I/O; `refusal`: a driver's, for people.
//! - `losses`: frames that were lost after a program handed them over; [`crate::not_sent`] takes them off the
//!   verdicts.
//! - `placement`: the programs at those places, as all of it changes.
//! - `entry`: the records of the interfaces for the program; `upper`: the devices whose frames they carry.

mod decide;
mod entry;
mod losses;
mod modes;
mod netdev;
mod placement;
mod refusal;
mod upper;

pub use modes::{Mode, ModeOption, Modes};
pub use netdev::{Changes, Netdev};
pub use placement::{Placement, PlacementError};
