//! Types of packets that are traced.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::model::{Method, Protocol, ServiceId};

/// A request to trace packets, until whoever asked goes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Trace {
    /// The packets that are asked for, in tcpdump's words. Empty: all.
    pub filter: String,
    /// Bytes of images of the frame, as it came and as it left; 0: none are sent. At most 2047.
    pub image: u32,
}

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "nearly all are packets")]
pub enum TraceLine {
    /// Tracing begins: packets from now on are sent.
    Began {},
    /// A packet.
    Packet(TracedPacket),
    /// Packets were handled that are not sent.
    Lost {
        /// Packets whose records the program had no room for, whether they were asked for or not.
        records: u64,
        /// Packets that were asked for, and that this client was too slow for.
        skipped: u64,
    },
}

/// A packet that the director handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TracedPacket {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Interface by which it came.
    pub interface: String,
    /// `xdp` or `tc`: the program that handled it.
    pub program: String,
    /// Bytes of its frame as it came.
    pub length: u32,
    /// Bytes of its frame as it left; 0: it did not.
    pub left_length: u32,
    /// Its addresses as it came; none: it is no IP packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<TracedFlow>,
    /// Its addresses as it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<TracedFlow>,
    /// The connection that it is of, that it begins, or that it would have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<TracedConnection>,
    /// The virtual service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The real server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub server: Option<SocketAddr>,
    /// The forwarding method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Interface by which it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// Ethernet address of the next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// Name of its verdict.
    pub verdict: String,
    /// The verdict as a sentence.
    pub explanation: String,
    /// The image as it came begins with an Ethernet header.
    pub ethernet: bool,
    /// The beginning of the frame as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_image: Option<Vec<u8>>,
    /// The beginning of the frame as it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_image: Option<Vec<u8>>,
}

/// Addresses of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TracedFlow {
    /// Source.
    #[cfg_attr(test, schema(value_type = String))]
    pub source: IpAddr,
    /// Destination.
    #[cfg_attr(test, schema(value_type = String))]
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port, where there are ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Destination port, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
}

/// The connection of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TracedConnection {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Client.
    #[cfg_attr(test, schema(value_type = String))]
    pub client: SocketAddr,
    /// Virtual address.
    #[serde(rename = "virtual")]
    #[cfg_attr(test, schema(value_type = String))]
    pub virtual_address: SocketAddr,
    /// State before the packet; none: it was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// State afterwards; none: there is no entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
