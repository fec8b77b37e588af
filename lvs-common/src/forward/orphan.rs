//! Packets of connections whose server is deleted or down.
//!
//! | packet | server deleted | server down |
//! |---|---|---|
//! | starts a connection (SYN, INIT, any UDP datagram) | dropped | scheduled anew |
//! | other TCP segment | dropped | answered with a reset |
//! | a client's reset | dropped | ends the connection, dropped |
//! | anything else (SCTP, later fragments) | dropped | dropped |
//!
//! (With [`crate::abi::Plan::REDISPATCH`], the repeated SYN of a connection to a deleted server does not
//! get here: it was redispatched before.)
//!
//! In the middle of a TCP stream no other server can go on: a reset brings the client back at once. Its
//! connection goes to CLOSE, as if the server had sent it, and not away: should the reset be lost, the
//! client's next segment is answered in the same way.

use super::find::{Connection, again};
use super::stage::Stage;
use super::work::Work;
use crate::abi::Server;
use crate::connection::table::{self, Store, Ways};
use crate::connection::{Direction, Protocol, Signal, step, tcp};
use crate::network::Network;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Handles such a packet.
#[inline(never)]
pub(super) fn orphan<F: Network, T: Tables + Store<F>>(tables: T, work: &mut Work<F>) -> Stage {
    let Some(Connection { slot, record, .. }) = again(tables, work) else {
        return work.schedule(NO_SERVER);
    };
    let index = u32::from(record.server);
    let server = tables.server(index);
    if server.is_none_or(|server| server.flags & Server::DOWN == 0) {
        return work.end(Verdict::drop(Reason::ServerDeleted));
    }
    let signal = work.forward.signal;
    if signal.starts() {
        table::remove::<F, T>(tables, &slot);
        return work.schedule(index);
    }
    let Signal::Tcp(event) = signal else {
        return work.end(Verdict::drop(Reason::ServerDown));
    };
    let state = step::<F, T>(
        tables,
        &slot,
        record.server,
        Protocol::Tcp,
        Direction::Output,
        Signal::Tcp(tcp::Event::Rst),
        &mut work.opened,
    );

    slot.set.touch(
        slot.way,
        work.forward.now,
        tables.timeout(Protocol::Tcp, state),
    );
    if event == tcp::Event::Rst {
        return work.end(Verdict::drop(Reason::ServerDown));
    }
    Stage::Reset
}
