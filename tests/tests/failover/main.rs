//! Two directors: which of them is master, what that means, and what clients notice when it changes.

mod addresses;
mod announcements;
mod equal_cost;
mod handover;
mod peer_health;
mod roles;
mod traffic;
