//! Addresses on interfaces, through netlink.

use std::io;
use std::net::IpAddr;

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use lvs_api::virtual_address::VirtualAddress;
use lvs_dataplane::neighbour::netlink::{self, Requests};

/// How the kernel is told that lvsd added an address (`IFA_PROTO`); `ip address` shows it as
/// `proto 0x4c`.
const PROTOCOL: AddressProtocol = AddressProtocol::Other(0x4c);
/// `linux/if_addr.h`: for ever.
const FOR_EVER: u32 = u32::MAX;
/// How often a list that changed while it was read is read again.
const ATTEMPTS: u32 = 5;

/// Why an address is not held, or not let go of.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HoldError {
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

/// How an address came to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It was added just now.
    Added,
    /// An lvsd had added it.
    Kept,
    /// Somebody else had added it.
    Foreign,
}

/// Adds those of the addresses that are not there. What became of each, in their order.
pub(super) async fn hold(
    requests: &mut Requests,
    addresses: &[VirtualAddress],
) -> Result<Vec<Result<Hold, HoldError>>, HoldError> {
    let found = list(requests).await?;
    let mut outcomes = Vec::new();
    for address in addresses {
        let Ok(index) = if_nametoindex(address.interface.as_str()) else {
            outcomes.push(Err(HoldError::NoInterface(address.clone())));
            continue;
        };
        let outcome = match found.iter().find(|found| found.is(address, index)) {
            Some(found) if found.ours => Ok(Hold::Kept),
            Some(_) => Ok(Hold::Foreign),
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
) -> Result<Hold, HoldError> {
    let change = RouteNetlinkMessage::NewAddress(new(address, index));
    match requests.change(change, NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(()) => Ok(Hold::Added),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(Hold::Foreign),
        Err(source) => Err(HoldError::Add {
            address: address.clone(),
            source,
        }),
    }
}

/// Removes those of the addresses that an lvsd added; that they are gone is fine.
pub(crate) async fn release(addresses: &[VirtualAddress]) -> Result<(), HoldError> {
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
            // The others are let go of all the same.
            outcome = Err(HoldError::Remove {
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

async fn list(requests: &mut Requests) -> Result<Vec<Found>, HoldError> {
    let mut attempts = 0;
    let messages = loop {
        attempts += 1;
        let everything = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        match requests.dump(everything).await {
            Err(netlink::Error::Interrupted) if attempts < ATTEMPTS => {}
            outcome => break outcome?,
        }
    };
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

/// Not by rtnetlink's builder: it would give the address a broadcast address.
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
        // handover find the director that still holds it. Who else holds it is looked for afterwards.
        let attributes = &mut message.attributes;
        attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        if address.prefix == 128 {
            // Never the source of what this machine itself sends: it may be elsewhere in a moment. (For
            // IPv4 a prefix of 32 sees to that.)
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_preferred = 0;
            lifetimes.ifa_valid = FOR_EVER;
            attributes.push(AddressAttribute::CacheInfo(lifetimes));
        }
    }
    message
}
