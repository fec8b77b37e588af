//! The verbs of an init script, and those of lvsadm: what they return, when they return, and what
//! they say.

mod commands;
mod disk;
mod heartbeat;
mod mail;
mod operators;
mod postfix;
mod signals;
mod station;
mod syslog;
