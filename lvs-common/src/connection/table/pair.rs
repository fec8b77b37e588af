//! NAT connections: two entries that lead to each other.

use super::new::New;
use super::pin::tie;
use super::remove::discard;
use super::slot::Inserted;
use super::ways::Store;
use crate::abi::Server;
use crate::connection::Kind;
use crate::family::Family;

impl<F: Family> New<F> {
    /// Makes the entry of a NAT connection that of its replies from this server.
    #[inline(always)]
    pub fn into_replies(&mut self, server: &Server) {
        let client = self.key.source;
        self.key.source = F::narrow(&server.address);
        self.key.destination = client;
        self.key.ports = self.key.ports.reversed();
        if server.port.get() != 0 {
            self.key.ports.source = server.port;
        }
        self.key.kind = Kind::Reply as u8;
        self.partner = 0;
        self.state = 0;
        // It lives as long as its connection, whose clock is the one that packets keep going.
        self.timeout = u32::MAX;
        self.pinned = true;
    }
}

/// Ends the insertion of a NAT connection. The entry for its replies was inserted first: once the connection
/// can be found, so can its replies' entry. Both are pinned until this ties them together; where the
/// connection found no room its replies' entry goes, too.
#[inline(always)]
pub fn complete_pair<F: Family, T: Store<F>, E>(
    table: T,
    reply: &Inserted,
    connection: Result<Inserted, E>,
    half_open: &bool,
) -> Result<Inserted, E> {
    match connection {
        Ok(connection) => {
            tie(table, *reply, connection, *half_open);
            Ok(connection)
        }
        Err(refused) => {
            discard(table, *reply);
            Err(refused)
        }
    }
}
