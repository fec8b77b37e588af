//! Addresses of interfaces, through netlink.

use std::io;
use std::net::IpAddr;

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use lvs_api::virtual_address::VirtualAddress;
use lvs_dataplane::netlink::{self, Requests};

/// The origin of an address that lvsd adds (`IFA_PROTO`); `ip address` shows it as `proto 0x4c`.
const PROTOCOL: AddressProtocol = AddressProtocol::Other(0x4c);
/// Lifetime of an address without end (`linux/if_addr.h`).
const FOREVER: u32 = u32::MAX;

/// A failure to add or remove addresses.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AddressError {
    #[error("there is no interface for {0}")]
    NoInterface(VirtualAddress),
    #[error("cannot add {address}: {source}")]
    Add {
        address: VirtualAddress,
        source: io::Error,
    },
    #[error("cannot remove {address}: {source}")]
    Remove {
        address: VirtualAddress,
        source: io::Error,
    },
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
}

/// The origin of an address that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was added just now.
    Added,
    /// An lvsd had added it.
    Adopted,
    /// Somebody else had added it.
    Foreign,
}

/// Adds those of the addresses that are not there. Returns the outcomes in their order.
pub(super) async fn add_missing(
    requests: &mut Requests,
    addresses: &[VirtualAddress],
) -> Result<Vec<Result<Origin, AddressError>>, AddressError> {
    let found = list(requests).await?;
    let mut outcomes = Vec::new();
    for address in addresses {
        let Ok(index) = if_nametoindex(address.interface.as_str()) else {
            outcomes.push(Err(AddressError::NoInterface(address.clone())));
            continue;
        };
        let outcome = match found.iter().find(|found| found.is(address, index)) {
            Some(found) if found.ours => Ok(Origin::Adopted),
            Some(_) => Ok(Origin::Foreign),
            None => add(requests, address, index).await,
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn add(
    requests: &mut Requests,
    address: &VirtualAddress,
    index: u32,
) -> Result<Origin, AddressError> {
    let change = RouteNetlinkMessage::NewAddress(new(address, index));
    match requests.change(change, NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(()) => Ok(Origin::Added),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(Origin::Foreign),
        Err(source) => Err(AddressError::Add {
            address: address.clone(),
            source,
        }),
    }
}

/// Removes those of the addresses that an lvsd added; that they are gone is fine.
pub(crate) async fn remove(addresses: &[VirtualAddress]) -> Result<(), AddressError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let mut requests = Requests::open()?;
    let found = list(&mut requests).await?;
    let mut outcome = Ok(());
    for address in addresses {
        // Without its interface it is not there either.
        let Ok(index) = if_nametoindex(address.interface.as_str()) else {
            continue;
        };
        let ours = |found: &&Found| found.ours && found.is(address, index);
        let Some(found) = found.iter().find(ours) else {
            continue;
        };
        let change = RouteNetlinkMessage::DelAddress(found.message.clone());
        if let Err(source) = requests.change(change, 0).await
            && ![libc::EADDRNOTAVAIL, libc::ENODEV].contains(&source.raw_os_error().unwrap_or(0))
        {
            // The others are removed all the same.
            outcome = Err(AddressError::Remove {
                address: address.clone(),
                source,
            });
        }
    }
    outcome
}

/// An address that an interface has.
struct Found {
    address: IpAddr,
    /// An lvsd added it.
    ours: bool,
    message: AddressMessage,
}

impl Found {
    fn is(&self, address: &VirtualAddress, index: u32) -> bool {
        self.message.header.index == index && self.address == address.address
    }
}

async fn list(requests: &mut Requests) -> Result<Vec<Found>, AddressError> {
    let everything = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let messages = requests.dump(everything).await?;
    Ok(messages.into_iter().filter_map(found).collect())
}

fn found(message: RouteNetlinkMessage) -> Option<Found> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    let (mut address, mut local, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Protocol(protocol) => ours = *protocol == PROTOCOL,
            _ => {}
        }
    }
    Some(Found {
        // What is called the address is the other end of a point-to-point interface.
        address: local.or(address)?,
        ours,
        message,
    })
}

/// The message that adds an address. rtnetlink's builder would give it a broadcast address.
fn new(address: &VirtualAddress, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = address.prefix;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address.address),
        AddressAttribute::Address(address.address),
        AddressAttribute::Protocol(PROTOCOL),
    ];
    if address.address.is_ipv6() {
        // Duplicate address detection would keep the address unusable for a second and more, and in a
        // handover find the director that still holds it. Conflicts are looked for afterwards.
        let attributes = &mut message.attributes;
        attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        if address.prefix == 128 {
            // Never the source of what this machine itself sends: it may be elsewhere in a moment. (For
            // IPv4 a prefix of 32 sees to that.)
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_preferred = 0;
            lifetimes.ifa_valid = FOREVER;
            attributes.push(AddressAttribute::CacheInfo(lifetimes));
        }
    }
    message
}
