//! Init systems and cluster managers as Debian packages them: they start, watch and fail over the director.

mod heartbeat;
mod install;
mod keepalived;
mod machine;
mod ocf;
mod pacemaker;
mod packages;
mod services;
mod site;
