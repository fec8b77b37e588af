//! Failover between directors: roles, virtual addresses, and what clients notice.

mod addresses;
mod announcements;
mod cut_off;
mod equal_cost;
mod events;
mod handover;
mod peer_health;
mod roles;
mod stop;
mod table_size;
mod traffic;
