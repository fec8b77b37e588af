//! The director under those who start it, watch it and move it from one machine to another: the real ones,
//! as they are packaged.

mod heartbeat;
mod install;
mod keepalived;
mod machine;
mod ocf;
mod pacemaker;
mod services;
mod site;
