//! The whole director on the host: packets in, packets and verdicts out.

mod frame;
mod frames;
mod plain;
mod sets;
mod workspace;

mod answers;
mod forwarding;
mod fragments;
mod persistence;
mod related;
mod stories;
