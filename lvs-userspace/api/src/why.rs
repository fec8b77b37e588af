//! Types about the way that a packet would take.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::model::{Method, Protocol, ServiceId};

/// A question about the way of a client's packet to a virtual address. No packet is sent, and nothing is counted or
/// changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Why {
    /// Address of the client.
    #[cfg_attr(test, schema(value_type = String))]
    pub client: IpAddr,
    /// Its port. None: one from which it has no connection yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_port: Option<u16>,
    /// Virtual address.
    #[serde(rename = "virtual")]
    #[cfg_attr(test, schema(value_type = String))]
    pub virtual_address: IpAddr,
    /// Its port. None: that of the only virtual service with this address and protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_port: Option<u16>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Name of the interface by which the packet comes. None: the one by which the kernel's routes lead to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// The way that a packet would take at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Way {
    /// Address and port of the client.
    #[cfg_attr(test, schema(value_type = String))]
    pub client: SocketAddr,
    /// Virtual address and port.
    #[serde(rename = "virtual")]
    #[cfg_attr(test, schema(value_type = String))]
    pub virtual_address: SocketAddr,
    /// Kind of the packet: `TCP SYN` where it begins a connection, `TCP ACK` where there is one.
    pub packet: String,
    /// Interface by which it comes.
    pub interface: String,
    /// The steps on its way, in their order.
    pub steps: Vec<WayStep>,
    /// Name of its verdict, as `lvsadm --verdicts` has it.
    pub verdict: String,
    /// The verdict as a sentence.
    pub explanation: String,
    /// The virtual service that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The real server that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub server: Option<SocketAddr>,
    /// The forwarding method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// False: the next connection of this client may get another real server, as the choice depends on the connections
    /// before it.
    pub determined: bool,
}

/// A step on the way of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct WayStep {
    /// Name: `interface`, `connection`, `service`, `filter`, `persistence`, `scheduler`, `source`, `next hop`,
    /// `replies`, `way out`.
    pub name: String,
    /// The outcome, as a sentence.
    pub text: String,
}
