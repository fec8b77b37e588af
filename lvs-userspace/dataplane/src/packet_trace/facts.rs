//! The facts about a recorded packet: flow, service, server, states, verdict.

use std::net::{IpAddr, SocketAddr};

use lvs_api::model::{Protocol, ServiceId};
use lvs_api::trace::{TracedConnection, TracedFlow, TracedPacket};
use lvs_common::abi::{Marked, PacketRecord};
use lvs_common::connection::Protocol as CommonProtocol;
use lvs_common::scheduler::NO_SERVER;
use lvs_common::verdict::{Action, Reason, Verdict};

use super::flow::{Flow, flow};
use super::interface_names::InterfaceNames;
use crate::address::{mac_text, narrow};
use crate::director::{api_method, service_id};
use crate::kernel::{Maps, Recorded};

/// A packet that was recorded, as filters ask about it.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(super) interface: String,
    /// The packet as it came.
    pub(super) came: Option<Flow>,
    /// The packet as it left.
    pub(super) left: Option<Flow>,
    /// The connection that it is of, in the direction of the packet.
    pub(super) connection: Option<Flow>,
    pub(super) service: Option<ServiceId>,
    pub(super) server: Option<SocketAddr>,
    pub(super) verdict: &'static str,
    /// The packet began its connection.
    pub(super) is_new: bool,
}

impl Facts {
    /// The packet's addresses in all its forms: as it came, as it left, and those of its connection.
    pub(super) fn flows(&self) -> impl Iterator<Item = Flow> {
        [self.came, self.left, self.connection]
            .into_iter()
            .flatten()
    }
}

/// The facts of a recorded packet, and how it is told. `moment`: nanoseconds since 1970 at the start of the monotonic
/// clock; `images`: those of the frame are told, too.
pub fn traced(
    maps: &Maps,
    names: &mut InterfaceNames,
    recorded: &Recorded,
    moment: u64,
    images: bool,
) -> (Facts, TracedPacket) {
    let Recorded { record, came, left } = recorded;
    let has_ethernet = record.flags & PacketRecord::NO_ETHERNET == 0;
    let verdict = Verdict::from_bits(record.verdict);
    let reason = verdict.and_then(Verdict::reason).unwrap_or(Reason::NotIp);
    let came_flow = flow(came, has_ethernet);
    let left_flow = flow(left, true);
    let asked = connection(record);
    let connection = asked.map(|(_, asked)| oriented(asked, came_flow));
    let service = (record.service != Marked::NO_SERVICE)
        .then(|| service_id(maps, record.service))
        .flatten();
    let server = server(maps, record);
    let known = |state: u8| state != PacketRecord::NO_STATE;
    let facts = Facts {
        interface: names.name(record.interface),
        came: came_flow,
        left: left_flow,
        connection,
        service,
        server,
        verdict: reason.name(),
        is_new: !known(record.before) && known(record.state),
    };
    let state = |state: u8| {
        let protocol = CommonProtocol::from_number(record.protocol)?;
        known(state).then(|| protocol.state_name(state).to_owned())
    };
    let out = match verdict.map(Verdict::action) {
        Some(Action::Transmit) => Some(record.interface),
        Some(Action::Redirect { interface } | Action::Neighbour { interface }) => Some(interface),
        _ => None,
    };
    let packet = TracedPacket {
        time: moment.saturating_add(record.time),
        interface: facts.interface.clone(),
        program: if record.flags & PacketRecord::BUFFER == 0 {
            "xdp"
        } else {
            "tc"
        }
        .to_owned(),
        length: record.length,
        left_length: record.left_length,
        came: came_flow.map(told),
        left: left_flow.map(told),
        connection: asked.map(|(protocol, flow)| TracedConnection {
            protocol,
            client: side(flow.source, flow.ports.map_or(0, |[port, _]| port)),
            virtual_address: side(flow.destination, flow.ports.map_or(0, |[_, port]| port)),
            before: state(record.before),
            state: state(record.state),
        }),
        service,
        server,
        method: server.map(|_| api_method(record.method)),
        out: out.map(|index| names.name(index)),
        next_hop: out.and_then(|_| mac(left)),
        verdict: reason.name().to_owned(),
        explanation: reason.explanation().to_owned(),
        ethernet: has_ethernet,
        came_image: images.then(|| came.clone()),
        left_image: (images && !left.is_empty()).then(|| left.clone()),
    };
    (facts, packet)
}

/// Protocol and addresses of a packet's connection, as its client's packets have them.
fn connection(record: &PacketRecord) -> Option<(Protocol, Flow)> {
    let protocol = CommonProtocol::from_number(record.protocol)?;
    let [a, b, c, d] = record.ports;
    let flow = Flow {
        source: narrow(&record.client, record.family),
        destination: narrow(&record.virtual_address, record.family),
        protocol: record.protocol,
        ports: Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]),
    };
    Some((protocol.into(), flow))
}

/// A connection's addresses in the direction of the packet that came.
fn oriented(connection: Flow, came: Option<Flow>) -> Flow {
    let to_virtual = came.is_none_or(|came| came.destination == connection.destination);
    if to_virtual {
        return connection;
    }
    Flow {
        source: connection.destination,
        destination: connection.source,
        ports: connection.ports.map(|[from, to]| [to, from]),
        ..connection
    }
}

fn server(maps: &Maps, record: &PacketRecord) -> Option<SocketAddr> {
    if record.server == NO_SERVER {
        return None;
    }
    let server = maps.servers.read(record.server)?;
    let [_, _, high, low] = record.ports;
    let port = maps.server_port(&server, u16::from_be_bytes([high, low]));
    Some(SocketAddr::new(
        narrow(&server.address, server.family),
        port,
    ))
}

fn side(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

fn told(flow: Flow) -> TracedFlow {
    TracedFlow {
        source: flow.source,
        destination: flow.destination,
        protocol: flow.protocol,
        source_port: flow.ports.map(|[port, _]| port),
        destination_port: flow.ports.map(|[_, port]| port),
    }
}

/// The destination of an Ethernet header.
fn mac(frame: &[u8]) -> Option<String> {
    mac_text(*frame.first_chunk()?)
}
