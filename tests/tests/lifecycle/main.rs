//! The verbs of an init script, and those of lvsadm: what they return, when they return, and what
//! they say.

mod alerts;
mod autoreload;
mod commands;
mod daemon_lab;
mod heartbeat;
mod lvsadm;
mod postfix;
mod signals;
mod syslog;
