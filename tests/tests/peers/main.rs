//! Two directors that share their connections over encrypted links.

mod hostile;
mod stories;
mod world;
