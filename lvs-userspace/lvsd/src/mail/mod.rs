//! Mail alerts about changes of state, to the recipients that the file names.
//!
//! The mailer ([`mailer`]) receives events, composes messages ([`alerts`]) and queues them for the transport
//! ([`transport`]), which sends them to the mail server. The queue is bounded: neither probes nor tables ever
//! wait for mail, and a mail server that hangs costs messages, not memory.

mod alerts;
mod host;
mod mailer;
mod message;
mod phase;
mod reminders;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use self::mailer::MailHandle;
pub(crate) use self::phase::Phase;
