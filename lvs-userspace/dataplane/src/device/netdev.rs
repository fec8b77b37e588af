//! The kernel's word about what its devices do with XDP: the family `netdev` of generic netlink
//! (`linux/netdev.h`, since Linux 6.3).

use std::collections::BTreeMap;
use std::io;

use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs};
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use rtnetlink::packet_core::{
    DecodeError, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, NlasIterator, ParseableParametrized, parse_u32, parse_u64,
};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rtnetlink::sys::{AsyncSocket as _, AsyncSocketExt as _, Socket, SocketAddr, TokioSocket};

/// `NETDEV_CMD_DEV_GET`.
const DEV_GET: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX`.
const IFINDEX: u16 = 1;
/// `NETDEV_A_DEV_XDP_FEATURES`.
const XDP_FEATURES: u16 = 3;
/// The multicast group of changes.
const GROUP: &str = "mgmt";

/// Bits of `enum netdev_xdp_act` by interface index.
pub(super) type Features = BTreeMap<u32, u64>;

/// `NETDEV_XDP_ACT_BASIC`: the driver runs XDP programs.
pub(super) const BASIC: u64 = 1;
/// `NETDEV_XDP_ACT_NDO_XMIT`: the device takes frames that XDP programs send.
pub(super) const NDO_XMIT: u64 = 4;

/// The family of this kernel.
#[derive(Clone, Copy, Debug)]
pub struct Netdev {
    family: u16,
    group: u32,
}

impl Netdev {
    /// The family, if this kernel has it.
    pub fn find() -> io::Result<Option<Self>> {
        let request = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(Device::family_name().to_owned())],
        };
        let answers = match ask(GenlMessage::from_payload(request), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            answers => answers?,
        };
        let (mut family, mut group) = (None, None);
        for attribute in answers.iter().flat_map(|answer| &answer.payload.nlas) {
            match attribute {
                GenlCtrlAttrs::FamilyId(id) => family = Some(*id),
                GenlCtrlAttrs::McastGroups(groups) => {
                    group = groups.iter().find_map(|g| of_changes(g));
                }
                _ => {}
            }
        }
        Ok(family
            .zip(group)
            .map(|(family, group)| Self { family, group }))
    }

    /// The features of all devices of the network namespace.
    pub(super) fn features(self) -> io::Result<Features> {
        let mut request = GenlMessage::from_payload(Device::default());
        request.set_resolved_family_id(self.family);
        let devices = ask(request, NLM_F_DUMP)?;
        let pair = |answer: GenlMessage<Device>| (answer.payload.index, answer.payload.features);
        Ok(devices.into_iter().map(pair).collect())
    }

    /// Subscribes to changes, in the network namespace of the calling thread.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn changes(&self) -> io::Result<Changes> {
        let mut socket = TokioSocket::new(NETLINK_GENERIC)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        socket.socket_mut().add_membership(self.group)?;
        Ok(Changes(socket))
    }
}

/// The kernel's announcements that a device or its features are others.
pub struct Changes(TokioSocket);

impl Changes {
    /// Waits for the next one. What changed is to be asked: an announcement may be lost.
    pub async fn next(&mut self) -> io::Result<()> {
        match self.0.recv_from_full().await {
            Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A device as the family tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Device {
    index: u32,
    features: u64,
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

/// A request for all devices has no attributes.
impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        0
    }

    fn emit(&self, _buffer: &mut [u8]) {}
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(buffer: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let mut device = Self::default();
        for attribute in NlasIterator::new(buffer) {
            let attribute = attribute?;
            match attribute.kind() {
                IFINDEX => device.index = parse_u32(attribute.value())?,
                XDP_FEATURES => device.features = parse_u64(attribute.value())?,
                _ => {}
            }
        }
        Ok(device)
    }
}

fn of_changes(group: &[McastGrpAttrs]) -> Option<u32> {
    let (mut id, mut named) = (None, false);
    for attribute in group {
        match attribute {
            McastGrpAttrs::Id(number) => id = Some(*number),
            McastGrpAttrs::Name(name) => named = name == GROUP,
        }
    }
    id.filter(|_| named)
}

/// Sends a request and returns the answers. The kernel answers while it receives the request.
fn ask<T>(request: GenlMessage<T>, flags: u16) -> io::Result<Vec<GenlMessage<T>>>
where
    GenlMessage<T>:
        NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<GenlMessage<T>>>,
    <GenlMessage<T> as NetlinkDeserializable>::Error: std::error::Error + Send + Sync + 'static,
{
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let answer =
                NetlinkMessage::<GenlMessage<T>>::deserialize(rest).map_err(io::Error::other)?;
            let length = usize::try_from(answer.header.length).map_err(io::Error::other)?;
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                _ => return Ok(answers),
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(answers);
            }
            // Messages begin at multiples of four bytes (`NLMSG_ALIGN`).
            rest = rest
                .get(length.next_multiple_of(4).max(4)..)
                .unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_its_index_and_features() {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(value.len() + 4).unwrap();
            let head = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
            [&head, value].concat()
        };
        let message = [
            attribute(IFINDEX, &7_u32.to_ne_bytes()),
            attribute(9, &[1, 2, 3, 4]),
            attribute(XDP_FEATURES, &0x67_u64.to_ne_bytes()),
        ];
        let header = GenlHeader { cmd: 1, version: 1 };
        let device = Device::parse_with_param(&message.concat(), header).unwrap();
        assert_eq!((device.index, device.features), (7, 0x67));
    }
}
