//! Probes of real servers: each is shown to be good, and to be bad for the right reason.

mod ask;
mod authority;
mod databases;
mod directory;
mod files;
mod mail;
mod meddler;
mod news;
