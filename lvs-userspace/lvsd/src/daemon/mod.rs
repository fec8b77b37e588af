//! The daemon: it starts ([`start`]), serves until a signal ([`serve`]) and ends ([`run`] is all three).

mod active_config;
mod carrier;
mod check_user;
mod client_routes;
mod devices;
mod early_fragments;
mod equal_cost;
mod file_changes;
mod fill;
mod health_checks;
mod interfaces;
mod marks;
mod next_hops;
mod open_files;
mod own_events;
mod packet_trace;
mod peer_agreement;
mod peer_health;
mod peers;
mod program_log;
mod rules;
mod run;
mod serve;
mod settings;
mod silent_servers;
mod sources;
mod start;
mod stop;
mod systemd;
mod tasks;

pub(crate) use self::peers::PeerSettings;
pub(crate) use self::run::run;
pub(crate) use self::settings::Settings;
