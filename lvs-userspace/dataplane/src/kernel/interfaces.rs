//! The machine's interfaces, for threads that may wait for the kernel.

use std::io;

use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;

use crate::netlink::{Error, Requests};

/// One interface, by its index.
pub(super) fn get(index: u32) -> io::Result<LinkMessage> {
    let link = LinkUnspec::new_with_index(index).build();
    block_on(async |requests| Ok(requests.interface(link).await))?
}

/// All interfaces.
pub(crate) fn dump() -> io::Result<Vec<LinkMessage>> {
    let table = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let messages = block_on(async |requests| requests.dump(table).await)?;
    let links = messages.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    Ok(links.collect())
}

fn block_on<T>(send: impl AsyncFnOnce(&mut Requests) -> Result<T, Error>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(async { send(&mut Requests::open()?).await });
    answer.map_err(io::Error::other)
}
