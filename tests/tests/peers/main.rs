//! Two directors that share their connections: over encrypted links, and in the messages of IPVS.

mod daemons;
mod datagrams;
mod hostile;
mod loss;
mod stories;
mod world;
