//! Addresses on interfaces, through netlink.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_nametoindex;

use lvs_api::virtual_address::VirtualAddress;
use lvs_dataplane::neighbour::{self, Message, Questions};

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
    Netlink(#[from] neighbour::Error),
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
    questions: &mut Questions,
    addresses: &[VirtualAddress],
) -> Result<Vec<Result<Hold, HoldError>>, HoldError> {
    let found = list(questions).await?;
    let mut outcomes = Vec::new();
    for address in addresses {
        let Ok(index) = if_nametoindex(address.interface.as_str()) else {
            outcomes.push(Err(HoldError::NoInterface(address.clone())));
            continue;
        };
        let same = |f: &&Found| f.index == index && f.address == address.address;
        let outcome = match found.iter().find(same) {
            Some(found) if found.ours => Ok(Hold::Kept),
            Some(_) => Ok(Hold::Foreign),
            None => add(questions, address, index).await,
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn add(
    questions: &mut Questions,
    address: &VirtualAddress,
    index: u32,
) -> Result<Hold, HoldError> {
    let question = RouteNetlinkMessage::NewAddress(new(address, index));
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let answers = questions.ask(vec![question], flags).await?;
    match answers.into_iter().next() {
        Some(Err(source)) if source.kind() == io::ErrorKind::AlreadyExists => Ok(Hold::Foreign),
        Some(Err(source)) => Err(HoldError::Add {
            address: address.clone(),
            source,
        }),
        _ => Ok(Hold::Added),
    }
}

/// Removes those of the addresses that an lvsd added; that they are gone is fine.
pub(crate) async fn release(addresses: &[VirtualAddress]) -> Result<(), HoldError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let mut questions = Questions::open()?;
    let found = list(&mut questions).await?;
    let mut outcome = Ok(());
    for address in addresses {
        // Without its interface it is not there either.
        let Ok(index) = if_nametoindex(address.interface.as_str()) else {
            continue;
        };
        let ours = |f: &&Found| f.index == index && f.address == address.address && f.ours;
        let Some(found) = found.iter().find(ours) else {
            continue;
        };
        let message = named(address.address, found.prefix, index);
        let question = RouteNetlinkMessage::DelAddress(message);
        let answers = questions.ask(vec![question], NLM_F_ACK).await?;
        if let Some(Err(source)) = answers.into_iter().next()
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
    index: u32,
    address: IpAddr,
    prefix: u8,
    /// An lvsd added it.
    ours: bool,
}

async fn list(questions: &mut Questions) -> Result<Vec<Found>, HoldError> {
    let mut attempts = 0;
    let messages = loop {
        attempts += 1;
        let everything = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        match questions.dump(everything).await {
            Err(neighbour::Error::Interrupted) if attempts < ATTEMPTS => {}
            outcome => break outcome?,
        }
    };
    Ok(messages.iter().filter_map(found).collect())
}

fn found(message: &Message) -> Option<Found> {
    let Message::Known(message) = message else {
        return None;
    };
    let RouteNetlinkMessage::NewAddress(message) = &**message else {
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
        index: message.header.index,
        // What is called the address is the other end of a point-to-point interface.
        address: local.or(address)?,
        prefix: message.header.prefix_len,
        ours,
    })
}

fn new(address: &VirtualAddress, index: u32) -> AddressMessage {
    let mut message = named(address.address, address.prefix, index);
    let attributes = &mut message.attributes;
    attributes.push(AddressAttribute::Protocol(PROTOCOL));
    if address.address.is_ipv6() {
        // Duplicate address detection would keep the address unusable for a second and more, and in a
        // handover find the director that still holds it. Who else holds it is looked for afterwards.
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

/// An address as far as it takes to tell it from others.
fn named(address: IpAddr, prefix: u8, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    message
}
