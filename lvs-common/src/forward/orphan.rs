//! Packets of connections whose server is deleted or down.
//!
//! | packet | server deleted | server down |
//! |---|---|---|
//! | starts a connection (SYN, INIT, any UDP datagram) | dropped | scheduled anew |
//! | other TCP segment | dropped | answered with a reset; the first one becomes a reset of the server's side |
//! | a client's reset | dropped | ends the connection; dropped, or forwarded |
//! | anything else (SCTP, later fragments) | dropped | dropped |
//!
//! (With [`crate::abi::Plan::REDISPATCH`], the repeated SYN of a connection to a deleted server does not
//! get here: it was redispatched before.)
//!
//! In the middle of a TCP stream no other server can go on: a reset brings the client back at once. Its
//! connection goes to CLOSE, as if the server had sent it, and not away: should the reset be lost, the
//! client's next segment is answered in the same way.
//!
//! A server that is down for its health checks may be alive, with sessions and locks that last as long as the
//! connection. With [`Server::RESET`] the first segment becomes a reset for it: its sequence number is the one
//! that the server expects next (RFC 9293 section 3.10.7.4), whichever way the server's own segments take. The
//! client's own resets go on to the server, too: one that gets a segment after its reset answers with the number
//! that the server expects.

use super::context::Route;
use super::find::{Connection, again};
use super::source_translation;
use super::stage::Stage;
use super::work::Work;
use crate::abi::{Hop, Method, Server};
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
    let index = tables.server_of(&record);
    let server = tables.server(index);
    let Some(server) = server.filter(|server| server.flags & Server::DOWN != 0) else {
        return work.end(Verdict::drop(Reason::ServerDeleted));
    };
    let tells_server = server.flags & Server::RESET != 0 && is_reachable(tables, server);
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
        index,
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
    let ends = event == tcp::Event::Rst;
    if !tells_server {
        return if ends {
            work.end(Verdict::drop(Reason::ServerDown))
        } else {
            Stage::Reset
        };
    }
    if !ends && state == slot.tag.state() {
        return Stage::Reset;
    }
    let method = Method::from_raw(record.method);
    work.forward.route = Route::new(index, method);
    work.forward.route.reason = Reason::ServerReset;
    source_translation::note(work, slot.number, &record);
    if ends {
        Stage::ToServer
    } else {
        Stage::ResetServer
    }
}

/// Returns whether a packet for the server would be sent.
#[inline(always)]
fn is_reachable<T: Tables>(tables: T, server: &Server) -> bool {
    let hop = tables.hop(server.hop).filter(|_| server.hop != 0);
    hop.is_some_and(|hop| hop.flags & Hop::UNREACHABLE == 0)
}
