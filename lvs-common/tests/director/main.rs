//! The whole director on the host: packets in, packets and verdicts out.

mod frame;
mod frames;
mod plain;
mod sets;
mod workspace;

mod announce;
mod answers;
mod arbitrary;
mod concurrency;
mod crowding;
mod forwarding;
mod fragments;
mod hashing;
mod martians;
mod orphans;
mod persistence;
mod probes;
mod related;
mod repeats;
mod schedules;
mod states;
mod stories;
