//! Route lookups: the request for one address, and the kernel's answer.

use std::net::IpAddr;

use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::decode;
use super::tables::Route;
use crate::netlink::{Answer, Error, Requests};

/// Lookups that are sent at once.
pub(super) const BATCH: usize = 64;

/// Looks up the routes to addresses, in their order.
pub(crate) async fn look_up(
    requests: &mut Requests,
    addresses: &[IpAddr],
) -> Result<Vec<Route>, Error> {
    let answers = ask(requests, addresses, RouteFlags::empty()).await?;
    Ok(answers.into_iter().map(route).collect())
}

/// Looks up which interfaces lead to addresses by next hops of equal cost, in the order of the addresses; none where
/// there is but one next hop.
pub(super) async fn look_up_next_hops(
    requests: &mut Requests,
    addresses: &[IpAddr],
) -> Result<Vec<Vec<u32>>, Error> {
    let answers = ask(requests, addresses, RouteFlags::FibMatch).await?;
    let hops = |answer| match answer {
        Ok(Some(RouteNetlinkMessage::NewRoute(message))) => decode::next_hops(&message),
        _ => Vec::new(),
    };
    Ok(answers.into_iter().map(hops).collect())
}

async fn ask(
    requests: &mut Requests,
    addresses: &[IpAddr],
    flags: RouteFlags,
) -> Result<Vec<Answer>, Error> {
    let lookups = addresses.iter().map(|&address| request(address, flags));
    requests.send_all(lookups.collect(), 0).await
}

fn request(address: IpAddr, flags: RouteFlags) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    let (family, length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.flags = flags;
    message.header.address_family = family;
    message.header.destination_prefix_length = length;
    let destination = RouteAttribute::Destination(address.into());
    message.attributes.push(destination);
    RouteNetlinkMessage::GetRoute(message)
}

fn route(answer: Answer) -> Route {
    match answer {
        Ok(Some(RouteNetlinkMessage::NewRoute(message))) => decode::route(&message),
        Ok(Some(_)) => Route::None("the kernel answered something else than a route".into()),
        Ok(None) => Route::None("the kernel's answer about its route cannot be read".into()),
        Err(error) => Route::None(format!("no route to it: {error}")),
    }
}
