//! The daemon's configuration file: `ldirectord.cf`, or the lines of `ipvsadm -S`.

pub mod ldirectord;
pub mod rules;
