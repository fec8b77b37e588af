//! Probes of real servers: each is shown to be good, and to be bad for the right reason.

mod accounts;
mod ask;
mod authority;
mod cache;
mod calls;
mod directory;
mod files;
mod mail;
mod mariadb;
mod meddler;
mod names;
mod news;
mod postgresql;
mod web;
