//! The controller: the servers that serve, as servers die and come back, files change and operators override.

mod costs;
mod discovery;
mod from_haproxy;
mod hang;
mod health_lab;
mod life;
mod observe;
mod overrides;
mod path;
mod privileges;
mod reload;
mod signals;
mod together;
mod weights;
