//! The verdict of each kind of packet: the real program runs on one frame at a time.
//!
//! Every row is a sentence, a frame, and what has to come of it: the action, the one verdict that is
//! counted, and the frame that goes out, which is built from scratch and compared to the byte.

mod down_servers;
mod forwarding;
mod headers;
mod icmp;
mod malformed;
mod not_forwarded;
mod probe_answers;
mod sources;
mod world;

/// The program runs as XDP, on frames.
const BUFFERS: bool = false;
