//! Connection replication: between peers over encrypted sessions, and in the messages of IPVS's sync daemons.

mod clock;
mod connections;
mod drift;
mod hostile_network;
mod packet_loss;
mod previous_version;
mod refusals;
mod returning_peer;
mod sync_daemons;
mod sync_messages;
mod world;
