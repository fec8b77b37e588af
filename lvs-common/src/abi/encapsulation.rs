//! The encapsulation of a tunnel: what stands between the outer IP header and the packet inside.

/// Nothing (IP in IP), UDP and GUE, or GRE; the last two with a checksum over the packet inside or without. Four
/// bits, the upper ones of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulation(u8);

impl Encapsulation {
    /// The packet inside follows at once (RFC 2003, RFC 2473).
    pub const IPIP: Self = Self(0);
    /// Generic UDP encapsulation, version 0, without extension fields.
    pub const GUE: Self = Self(1 << 4);
    /// GRE (RFC 2784).
    pub const GRE: Self = Self(2 << 4);
    /// Bit of GUE and GRE: a checksum over the packet inside, of GUE that of UDP.
    const CHECKSUM: u8 = 4 << 4;
    /// Bit of GUE beside `CHECKSUM`: the operator asked for a remote checksum. For the daemon only: it spares a sender
    /// the checksum of a packet of its own, and what the director forwards has one.
    const REMOTE: u8 = 8 << 4;
    const KIND: u8 = 3 << 4;
    /// The bits of a byte that are an encapsulation's.
    pub const BITS: u8 = 15 << 4;

    /// The encapsulation in a byte.
    #[inline(always)]
    pub const fn from_bits(byte: u8) -> Self {
        Self(byte & Self::BITS)
    }

    /// Its bits, the lower four zero.
    #[inline(always)]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// The same with a checksum.
    #[must_use]
    pub const fn with_checksum(self) -> Self {
        Self(self.0 | Self::CHECKSUM)
    }

    /// The same with a remote checksum.
    #[must_use]
    pub const fn with_remote_checksum(self) -> Self {
        Self(self.0 | Self::CHECKSUM | Self::REMOTE)
    }

    /// The same without a checksum.
    #[inline(always)]
    #[must_use]
    pub const fn without_checksum(self) -> Self {
        Self(self.0 & Self::KIND)
    }

    /// Without its checksum.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> Self {
        Self(self.0 & Self::KIND)
    }

    /// True with a checksum over the packet inside (`--tun-csum`, `--tun-remcsum`).
    #[inline(always)]
    pub const fn has_checksum(self) -> bool {
        self.0 & Self::CHECKSUM != 0
    }

    /// True with a remote checksum (`--tun-remcsum`).
    pub const fn is_remote(self) -> bool {
        self.0 & Self::REMOTE != 0
    }

    /// Bytes between the outer IP header and the packet inside.
    ///
    /// Four bits of a constant for each encapsulation: a verifier follows every branch, and this is asked for
    /// each packet in a tunnel.
    #[inline(always)]
    pub const fn overhead(self) -> usize {
        const fn entry(encapsulation: Encapsulation, bytes: usize) -> u64 {
            (bytes as u64) << ((encapsulation.0 >> 2) & 0x1c)
        }
        const BYTES: u64 = entry(Encapsulation::GUE, 12)
            | entry(Encapsulation::GUE.with_checksum(), 12)
            | entry(Encapsulation::GRE, 4)
            | entry(Encapsulation::GRE.with_checksum(), 8);
        ((BYTES >> ((self.0 >> 2) & 0x1c)) & 0xf) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encapsulation_has_its_overhead() {
        for (encapsulation, bytes) in [
            (Encapsulation::IPIP, 0),
            (Encapsulation::GUE, 12),
            (Encapsulation::GUE.with_checksum(), 12),
            (Encapsulation::GUE.with_remote_checksum(), 12),
            (Encapsulation::GRE, 4),
            (Encapsulation::GRE.with_checksum(), 8),
        ] {
            assert_eq!(encapsulation.overhead(), bytes, "{encapsulation:?}");
            let read = Encapsulation::from_bits(encapsulation.to_bits() | 0xf);
            assert_eq!(read, encapsulation, "other flags beside it");
        }
    }
}
