//! The way that a client's packet would take at this moment.
//!
//! A frame as the client would send it goes through the packet path itself (`lvs_common::forward`), over the tables of
//! the data path: there is no second opinion that could differ. What the packet changes it changes in copies
//! (`rehearsal`), so nothing is counted and no connection begins.

mod client_sets;
mod connection_sets;
mod packet;
mod rehearsal;
mod steps;

use std::net::{IpAddr, SocketAddr};

use bumpalo::Bump;
use lvs_api::model::{Protocol as ApiProtocol, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::why::{Way, Why};
use lvs_common::abi::{Config, Interface, LOOPBACK};
use lvs_common::connection::table::Store;
use lvs_common::connection::{Key, Kind, Ports, Protocol};
use lvs_common::family::{V4, V6};
use lvs_common::forward::{Work, Workspace, find, plainly, stages_of};
use lvs_common::network::Network;
use lvs_common::routes::{Lookup, Routes as _};
use lvs_common::tables::Tables as _;
use lvs_common::verdict::{Reason, Verdict};
use nix::net::if_::if_nametoindex;

use self::packet::{ClientPacket, RehearsedPacket};
use self::rehearsal::{Rehearsal, RehearsedRoutes, State};
use self::steps::Walked;
use crate::address::{family, widen};
use crate::clock::now;
use crate::interface_name::interface_name;
use crate::kernel::Maps;

/// First port that is tried where the question names none: the first dynamic port (RFC 6335 section 6).
const FIRST_PORT: u16 = 49_152;

/// An interface that the program runs on.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub interface: String,
    /// The program runs in its driver.
    pub xdp: bool,
    /// The program runs behind its driver.
    pub tc: bool,
}

/// The surroundings of a question that are not in the maps.
pub struct Surroundings<'a> {
    /// The interfaces that the program runs on.
    pub places: &'a [Place],
    /// The configured services.
    pub services: &'a [ServiceId],
    /// The next hop of a real server, for people.
    pub next_hop: &'a dyn Fn(IpAddr) -> String,
}

/// Goes the way of a packet.
///
/// # Errors
///
/// The question names no interface where the program runs, no port where there are several, or both families.
pub fn way(maps: &Maps, surroundings: &Surroundings<'_>, question: &Why) -> Result<Way, Refusal> {
    let invalid = |text: String| Refusal::new(RefusalKind::Invalid, text);
    if question.client.is_ipv4() != question.virtual_address.is_ipv4() {
        return Err(invalid(format!(
            "a packet of {} cannot be for {}: one is IPv4, the other IPv6",
            question.client, question.virtual_address
        )));
    }
    if let Some(0) = question.client_port {
        return Err(invalid("no client sends from port 0".to_owned()));
    }
    if question.client.is_ipv4() {
        explain::<V4>(maps, surroundings, question)
    } else {
        explain::<V6>(maps, surroundings, question)
    }
}

fn explain<F: Network>(
    maps: &Maps,
    surroundings: &Surroundings<'_>,
    question: &Why,
) -> Result<Way, Refusal>
where
    for<'s> Rehearsal<'s>: Store<F>,
{
    let arena = Bump::new();
    let now = now();
    let state = || {
        State::of(maps, &arena, now)
            .ok_or_else(|| Refusal::new(RefusalKind::Internal, "the data path has no settings"))
    };
    // What is described is as it was before the packet.
    let (before, after, tried) = (state()?, state()?, state()?);
    let to = SocketAddr::new(question.virtual_address, port(surroundings, question)?);
    let protocol = Protocol::from(question.protocol);
    let (key, exists) = key::<F>(&before, question, to, protocol, now)?;
    let client = SocketAddr::new(question.client, key.ports.source.get());
    let place = place(&before, surroundings.places, question)?;
    let index = if_nametoindex(place.interface.as_str()).map_err(|_| no_interface(place))?;
    let interface = Rehearsal(&before).interface(index);
    let packet = ClientPacket {
        client,
        to,
        protocol,
        begins: !exists,
        mac: interface.map_or([0; 6], |interface| interface.mac),
    };
    let frame = packet.frame();
    let ethernet = interface.is_none_or(|found| found.flags & Interface::NO_ETHERNET == 0);
    let xdp = place.xdp && (!place.tc || is_finished_by_xdp(&tried, &frame, index));
    let mut work = Work::<F>::blank();
    let rehearsal = Rehearsal(&after);
    let verdict = if xdp {
        let mut packet = RehearsedPacket::<false>::new(&frame, index, true, &after);
        stages_of::<F, _, _>(&mut packet, rehearsal, &mut work)
    } else {
        let mut packet = RehearsedPacket::<true>::new(&frame, index, ethernet, &after);
        stages_of::<F, _, _>(&mut packet, rehearsal, &mut work)
    };
    if let Some(error) = after.route_error().or_else(|| before.route_error()) {
        return Err(Refusal::new(
            RefusalKind::Internal,
            format!("the kernel's routes cannot be asked: {error}"),
        ));
    }
    let walked = Walked {
        tables: Rehearsal(&before),
        key,
        packet,
        place,
        xdp,
        next_hop: surroundings.next_hop,
        services: surroundings.services,
        work: &work,
        verdict: verdict.unwrap_or(Verdict::pass(Reason::NotIp)),
    };
    Ok(walked.way())
}

/// Returns whether the XDP program finishes a frame of an interface where both programs run: if not, it is left to
/// the TC program.
fn is_finished_by_xdp<'s>(state: &'s State<'s>, frame: &[u8], interface: u32) -> bool {
    let tables = Rehearsal(state);
    let mixed = tables
        .config()
        .is_some_and(|config| config.options & Config::MIXED != 0);
    let mut workspace = Workspace::blank();
    let mut packet = RehearsedPacket::<false>::new(frame, interface, true, state);
    match plainly(&mut packet, tables, || Some(&mut workspace)) {
        Ok(verdict) => verdict.is_counted(),
        Err(_) => !mixed,
    }
}

/// The port that a question is about.
fn port(surroundings: &Surroundings<'_>, question: &Why) -> Result<u16, Refusal> {
    if let Some(port) = question.virtual_port {
        return Ok(port);
    }
    let ports: Vec<u16> = surroundings
        .services
        .iter()
        .filter_map(|service| match service {
            ServiceId::Address { protocol, address } => {
                let asked = *protocol == question.protocol
                    && address.ip() == question.virtual_address
                    && address.port() != 0;
                asked.then(|| address.port())
            }
            ServiceId::Mark { .. } => None,
        })
        .collect();
    let address = question.virtual_address;
    let name = question.protocol.name();
    match *ports.as_slice() {
        [port] => Ok(port),
        [] => Err(Refusal::new(
            RefusalKind::NoSuchService,
            format!("name the port: {address} has no {name} service with a port of its own"),
        )),
        _ => {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            Err(Refusal::new(
                RefusalKind::Invalid,
                format!(
                    "name the port: {address} has {name} services on {}",
                    ports.join(", ")
                ),
            ))
        }
    }
}

/// The key of the packet, and whether there is a connection of it. Where the question names no port of the client's, it
/// is the first one that has none.
fn key<'s, F: Network>(
    state: &'s State<'s>,
    question: &Why,
    to: SocketAddr,
    protocol: Protocol,
    now: u32,
) -> Result<(Key<F>, bool), Refusal>
where
    Rehearsal<'s>: Store<F>,
{
    let key = |port: u16| Key {
        source: F::narrow(&widen(question.client)),
        destination: F::narrow(&widen(to.ip())),
        ports: Ports {
            source: port.into(),
            destination: to.port().into(),
        },
        protocol: protocol.number(),
        kind: Kind::Request as u8,
    };
    let exists = |key: &Key<F>| find::<F, _>(Rehearsal(state), key, now).is_some();
    if let Some(port) = question.client_port {
        let key = key(port);
        return Ok((key, exists(&key)));
    }
    let unused = (FIRST_PORT..=u16::MAX).map(key).find(|key| !exists(key));
    let key = unused.ok_or_else(|| {
        Refusal::new(
            RefusalKind::Invalid,
            format!(
                "name the client's port: {} has connections from all from {FIRST_PORT} on",
                question.client
            ),
        )
    })?;
    Ok((key, false))
}

fn no_interface(place: &Place) -> Refusal {
    let text = format!("there is no interface {} any more", place.interface);
    Refusal::new(RefusalKind::NoDevice, text)
}

/// The interface that the packet comes by: the one that the question names, or the one by which the routes lead to the
/// client, or the only one.
fn place<'s, 'a>(
    state: &'s State<'s>,
    places: &'a [Place],
    question: &Why,
) -> Result<&'a Place, Refusal> {
    let named = |name: &str| places.iter().find(|place| place.interface == name);
    let names: Vec<_> = places
        .iter()
        .map(|place| place.interface.as_str())
        .collect();
    let there = if names.is_empty() {
        "it runs on none".to_owned()
    } else {
        format!("it runs on {}", names.join(", "))
    };
    if let Some(name) = &question.interface {
        return named(name).ok_or_else(|| {
            Refusal::new(
                RefusalKind::NoDevice,
                format!("the program does not run on {name}: {there}"),
            )
        });
    }
    let led = led_by(state, question.client);
    let found = led.as_deref().and_then(named);
    match (found, places) {
        (Some(place), _) | (None, [place]) => Ok(place),
        (None, _) => {
            let led = led.map_or_else(
                || format!("no route leads to {}", question.client),
                |name| format!("the routes lead to {} by {name}", question.client),
            );
            Err(Refusal::new(
                RefusalKind::NoDevice,
                format!(
                    "name the interface that the packet comes by: {led}, and the program does not run there; {there}"
                ),
            ))
        }
    }
}

/// Name of the interface by which the kernel's routes lead to an address.
fn led_by<'s>(state: &'s State<'s>, address: IpAddr) -> Option<String> {
    const INET: u8 = 2;
    const INET6: u8 = 10;
    let mut lookup = Lookup {
        family: if family(&address) == 4 { INET } else { INET6 },
        interface: LOOPBACK,
        destination: widen(address),
        ..Lookup::default()
    };
    let answer = RehearsedRoutes(state).look_up(&mut lookup, 0);
    Lookup::leads_on(answer)
        .then(|| interface_name(lookup.interface))
        .flatten()
}

/// The protocol as the API has it.
const fn api_protocol(protocol: Protocol) -> ApiProtocol {
    match protocol {
        Protocol::Tcp => ApiProtocol::Tcp,
        Protocol::Udp => ApiProtocol::Udp,
        Protocol::Sctp => ApiProtocol::Sctp,
    }
}
