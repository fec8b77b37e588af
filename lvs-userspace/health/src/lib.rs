//! Health checks of real servers: how they are made, and how their outcomes change the tables.

pub mod agent;
pub mod check;
pub mod checker;
pub mod checkers;
pub mod command;
pub mod controller;
pub mod credentials;
mod describe;
pub mod lint;
pub mod maintenance;
pub mod model;
pub mod monitor;
pub mod options;
pub mod orders;
pub mod outcome;
pub mod path;
pub mod pattern;
pub mod pool;
pub mod probe;
pub mod prober;
pub mod runner;
pub mod server;
pub mod service;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod verdict;
pub mod watch;
pub mod watches;
pub mod weight;
pub mod writer;
