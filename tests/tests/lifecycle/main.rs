//! The life of the daemon, and the commands of an operator: exit codes, moments of return, texts.

mod alerts;
mod answers;
mod autoreload;
mod commands;
mod daemon_lab;
mod heartbeat;
mod lvsadm;
mod postfix;
mod signals;
mod syslog;
mod top;
