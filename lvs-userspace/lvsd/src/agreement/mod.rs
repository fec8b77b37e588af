//! The agreement of this director with its peers about the configuration: the one goes on with the connections of the
//! other only if it has their virtual services and real servers, too.
//!
//! [`lines`] renders the configuration as lines, which is what is compared; [`message`] is what directors send each
//! other of it; [`known`] is what is known of the peers, and what follows from it.

mod known;
mod lines;
mod message;

pub(crate) use self::known::Agreement;
pub(crate) use self::message::{Part, Summary, parts};
