//! What lvsd serves by `--http`: metrics, page, control API, and to whom.

mod access;
mod browser;
mod contrib;
mod metrics;
mod page;
mod web_lab;
