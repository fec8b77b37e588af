//! The verdict of each kind of packet by the TC program: the rows of `verdicts`, as socket buffers.

#[path = "../verdicts/down_servers.rs"]
mod down_servers;
#[path = "../verdicts/forwarding.rs"]
mod forwarding;
#[path = "../verdicts/headers.rs"]
mod headers;
#[path = "../verdicts/icmp.rs"]
mod icmp;
#[path = "../verdicts/malformed.rs"]
mod malformed;
#[path = "../verdicts/not_forwarded.rs"]
mod not_forwarded;
#[path = "../verdicts/probe_answers.rs"]
mod probe_answers;
#[path = "../verdicts/sources.rs"]
mod sources;
#[path = "../verdicts/world.rs"]
mod world;

/// The program runs in TC, on socket buffers.
const BUFFERS: bool = true;
