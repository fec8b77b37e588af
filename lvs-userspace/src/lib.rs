//! The director's user space: the daemon `lvsd` and `lvsadm`, its `ipvsadm`.

pub mod admin;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod control;
pub mod daemon;
pub mod director;
pub mod health;
pub mod keepalive;
pub mod kernel;
pub mod lifecycle;
pub mod logging;
pub mod mail;
pub mod model;
pub mod neighbour;
mod netfilter;
pub mod own_addresses;
pub mod privileges;
pub mod rates;
pub mod scheduler;
pub mod sweep;
pub mod sync;
pub mod table;
mod templates;
pub mod watched;
