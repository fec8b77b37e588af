//! The stages of a packet.

/// The stage that a packet goes to next: the drawing in `forward/mod.rs` shows which follow which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// ICMP: see whether it is an error about a connection.
    Icmp,
    /// An ICMP error, of no connection's packet, but perhaps of one in a tunnel. If it is not, it is
    /// [`Stage::ProbeAnswer`].
    TunnelError,
    /// A later fragment of an ICMP message.
    IcmpFragment,
    /// A repeated SYN: its connection waits for the answer to one.
    SynRetry,
    /// Of a connection whose server is deleted or down.
    Orphan,
    /// To a virtual address, of no known connection: schedule it.
    Schedule,
    /// For a service whose persistence goes by Call-ID: find the packet's.
    CallId,
    /// For a persistent service: `new` holds the key of its client's or call's template.
    Persistent,
    /// A persistent service's client has no template: pick a server.
    NoTemplate,
    /// The first connection of a client of a persistent service: insert a template for the next ones.
    NewTemplate,
    /// The server of a new connection is known: insert it into the table.
    Insert,
    /// Behind NAT the entry for its replies comes first: look for a source that the server can tell from others.
    ReplySource,
    /// The source is known: insert the entry for the replies wherever there is room.
    InsertReplies,
    /// Insert the connection's own entry.
    InsertConnection,
    /// The FTP data connection that the packet announces was inserted, or refused: forward the packet itself.
    Announced,
    /// The connection table has no entry for it: forward it by its hash alone, if possible.
    TableFull,
    /// From a real server perhaps: find the connection it replies to. If there is none, it is
    /// [`Stage::ProbeAnswer`].
    Reply,
    /// A reply: `way` leads to its client, unless the routes changed since.
    ToClient,
    /// Of no connection, but perhaps the answer to a probe: the key of the work tells. If it is not, the
    /// work's verdict is the end of it.
    ProbeAnswer,
    /// There is a service but no server: answer with port unreachable.
    NoServer,
    /// Its server is down and no other can go on with it: reset the client.
    Reset,
    /// The same, but the server may be alive: make a reset of it, which goes to the server.
    ResetServer,
    /// Forward it by its route.
    ToServer,
    /// The work's verdict is the end of it.
    Ended,
}
