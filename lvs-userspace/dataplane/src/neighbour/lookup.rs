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

/// The way to an address.
#[derive(Debug)]
pub(super) enum Leads {
    /// Nothing.
    Nothing,
    /// It is the machine's own.
    Local,
    /// These interfaces: of a route with next hops of equal cost all of them.
    Interfaces(Vec<u32>),
}

/// Looks up what leads to addresses, in their order.
pub(super) async fn look_up_interfaces(
    requests: &mut Requests,
    addresses: &[IpAddr],
) -> Result<Vec<Leads>, Error> {
    // The route itself names all its next hops.
    let answers = ask(requests, addresses, RouteFlags::FibMatch).await?;
    let mut all: Vec<_> = answers.into_iter().map(leads).collect();
    // Of one with a next-hop object it may name none (`nexthop_compat_mode`).
    let unnamed = addresses.iter().zip(&all);
    let unnamed: Vec<_> = unnamed
        .filter(|(_, leads)| matches!(leads, Leads::Nothing))
        .map(|(address, _)| *address)
        .collect();
    let answers = ask(requests, &unnamed, RouteFlags::empty()).await?;
    let open = all
        .iter_mut()
        .filter(|leads| matches!(leads, Leads::Nothing));
    for (open, answer) in open.zip(answers) {
        *open = leads(answer);
    }
    Ok(all)
}

fn leads(answer: Answer) -> Leads {
    if let Ok(Some(RouteNetlinkMessage::NewRoute(message))) = &answer {
        let hops = decode::next_hops(message);
        if !hops.is_empty() {
            return Leads::Interfaces(hops);
        }
    }
    match route(answer) {
        Route::Local => Leads::Local,
        Route::Unicast { interface, .. } => Leads::Interfaces(vec![interface]),
        Route::None(_) => Leads::Nothing,
    }
}

async fn ask(
    requests: &mut Requests,
    addresses: &[IpAddr],
    flags: RouteFlags,
) -> Result<Vec<Answer>, Error> {
    let lookups = addresses.iter().map(|&address| request(address, flags));
    requests.get_all(lookups.collect()).await
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
