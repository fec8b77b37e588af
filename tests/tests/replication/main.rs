//! Two directors that share their connections: over encrypted links, and in the messages of IPVS.

mod connections;
mod hostile_network;
mod packet_loss;
mod sync_daemons;
mod sync_messages;
mod world;
