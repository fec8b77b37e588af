//! Connection replication: between peers over encrypted sessions, and in the messages of IPVS's sync daemons.

mod connections;
mod hostile_network;
mod packet_loss;
mod sync_daemons;
mod sync_messages;
mod world;
