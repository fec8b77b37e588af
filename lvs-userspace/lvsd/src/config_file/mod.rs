//! The configuration files of a daemon: reading them ([`file`]), and noticing that they changed ([`watched`]).

mod file;
mod watched;

pub(crate) use self::file::{Error, File, Sources, read, read_all};
pub(crate) use self::watched::{PERIOD, Watched};
