//! Health checks of real servers: how they are made, and how their outcomes change the tables.

pub mod agent;
pub mod check;
pub mod command;
pub mod controller;
pub mod maintenance;
pub mod model;
pub mod monitor;
pub mod orders;
pub mod outcome;
pub mod pattern;
pub mod pool;
pub mod probe;
pub mod runner;
pub mod server;
pub mod service;
pub mod tables;
pub mod verdict;
pub mod watch;
pub mod watches;
pub mod weight;
pub mod writer;
