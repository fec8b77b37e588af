//! Rules that give packets firewall marks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;

/// An [`Address`] that is compared in two steps.
pub type AddressWords = [u64; 2];

/// An address as [`MarkRule`] holds it.
pub const fn address_words(address: Address) -> AddressWords {
    zerocopy::transmute!(address)
}

/// Target of a rule, in one word: the place of the rule among all rules (1 for the
/// first) in the high half, the index of its mark's service in the low half. Of several rules that match
/// the last one holds, as in netfilter: the one with the largest word.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct Marked(pub u64);

impl Marked {
    /// Service index of a mark that has no service.
    pub const NO_SERVICE: u32 = u32::MAX;
    /// No rule.
    pub const NOTHING: Self = Self(Self::NO_SERVICE as u64);

    /// A rule at this place whose mark has this service.
    pub const fn new(place: u32, service: u32) -> Self {
        Self((place as u64) << 32 | service as u64)
    }

    /// Index of the mark's service.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub const fn service(self) -> u32 {
        self.0 as u32
    }

    /// Place among the rules.
    pub const fn place(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A rule that packets find by a key: exact destination address and protocol, and an exact port or none
/// (port 0). Its key is a [`super::ServiceKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KeyedMark {
    /// Target of the packets.
    pub marked: Marked,
    /// The mark. For the daemon only.
    pub mark: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Any other rule: packets are compared with one after the other, from the last to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MarkRule {
    /// Target of matching packets.
    pub marked: Marked,
    /// Source network.
    pub source: AddressWords,
    /// The bits of a source address that count.
    pub source_mask: AddressWords,
    /// Destination network.
    pub destination: AddressWords,
    /// The bits of a destination address that count.
    pub destination_mask: AddressWords,
    /// First and last source port, host order.
    pub source_ports: [u16; 2],
    /// First and last destination port, host order.
    pub destination_ports: [u16; 2],
    /// Index of the interface that packets come by; 0: any. [`MarkRule::NO_INTERFACE`]: there is none of
    /// its name.
    pub interface: u32,
    /// The mark. For the daemon only.
    pub mark: u32,
    /// IP protocol number; 0: any that is balanced.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// Always zero.
    pub reserved: [u8; 6],
    /// Name of the interface, padded with zeroes. For the daemon only.
    pub interface_name: [u8; 16],
}

impl MarkRule {
    /// No interface has this index.
    pub const NO_INTERFACE: u32 = u32::MAX;
}

const _: () = {
    assert!(size_of::<KeyedMark>() == 16);
    assert!(size_of::<MarkRule>() == 112);
};
