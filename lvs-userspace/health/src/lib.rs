//! Health checks of real servers: how they are made, and how their outcomes change the tables.
//!
//! ```text
//!  model (configuration)          operator     master      agent      maintenance directory
//!     |                              |            |          |                 |
//!     |                          overrides      mirror     agent          maintenance
//!     v                              |            |          |                 |
//!  watches ---> runner ---> watch    +------------+----+-----+-----------------+
//!  one for      starts a    rise and                   |
//!  each check   task each   fall                       v
//!  and rhythm      |          |                     server ---> pool ---> service ---> tables ---> writer
//!     ^            v          |                     state of    which     Desired      edits       applies,
//!     |          probe        |                     one real    servers   state and                publishes,
//!     |          one file     |                     server      serve     Update                   runs
//!     |          for each     |                        ^                                           commands
//!     |          protocol     |                        |                                              |
//!     |                       v                        |                                              v
//!     +--------------- ProbeReport, if it is news -----+                                       director, events
//! ```
//!
//! The `controller` is the task that holds watches and services and passes these values on. Without I/O, and with
//! time as an argument, are `watch`, `server`, `pool`, `service`, `tables` and `weight`.
//!
//! This crate knows neither files of configuration nor the control API's server nor replication.

mod agent;
pub mod check;
mod check_cycle;
pub mod checker;
pub mod checkers;
mod clock;
mod closer_look;
pub mod command;
mod companions;
mod configured;
pub mod controller;
pub mod credentials;
mod describe;
mod hang;
pub mod lint;
mod maintenance;
pub mod model;
mod monitor;
mod observe;
pub mod options;
pub mod outcome;
mod overrides;
mod path;
pub mod pattern;
mod pool;
pub mod probe;
pub mod prober;
mod runner;
mod running_watch;
mod server;
mod server_view;
mod service;
mod tables;
mod tally;
#[cfg(test)]
mod testing;
mod watch;
mod watches;
mod weight;
mod writer;

pub use self::configured::{ConfiguredService, Reach};
pub use self::server_view::ServerView;
