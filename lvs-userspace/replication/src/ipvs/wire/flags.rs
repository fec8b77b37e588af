//! Flags of an entry (`IP_VS_CONN_F_*`), those that travel.

use lvs_common::abi::Method;

/// Forwarding method of a connection, and kind of entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    const METHOD: u16 = 0x7;
    /// In the sender's hash table: means nothing elsewhere.
    const HASHED: u16 = 0x40;
    /// Replies bypass the director.
    pub const NO_OUTPUT: Self = Self(0x80);
    /// Not counted as active.
    pub const INACTIVE: Self = Self(0x100);
    /// Sequence numbers are shifted, in either direction.
    pub const SEQUENCES: Self = Self(0x600);
    /// The client's port is not known yet.
    pub const NO_CLIENT_PORT: Self = Self(0x800);
    /// A persistence template.
    pub const TEMPLATE: Self = Self(0x1000);
    /// Every packet is scheduled anew: such connections are never synchronized.
    pub const ONE_PACKET: Self = Self(0x2000);

    /// Those of a connection that is forwarded by a method.
    #[must_use]
    pub const fn of(method: Method) -> Self {
        // The director's methods are numbered as IPVS's are.
        let method = method as u16;
        match method {
            0 => Self(method),
            _ => Self(method | Self::NO_OUTPUT.0),
        }
    }

    /// Those of an entry's 32 bits that travel.
    #[must_use]
    pub const fn from_wire(bits: u32) -> Self {
        Self((bits & 0xffff) as u16 & !Self::HASHED)
    }

    /// Forwarding method by the sender's tables; `None`: to wherever its packets are addressed, which
    /// is IPVS's alone (bypass).
    pub const fn method(self) -> Option<Method> {
        match self.0 & Self::METHOD {
            0 => Some(Method::Nat),
            1 => Some(Method::Local),
            2 => Some(Method::Tunnel),
            3 => Some(Method::Direct),
            _ => None,
        }
    }

    /// True if any of these is set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// With these set, too.
    #[must_use]
    pub const fn and(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}
