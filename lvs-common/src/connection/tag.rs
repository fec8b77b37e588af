//! The word of an entry that decides who owns it.

/// State, generation and fingerprint of a way, in the one word that decides who owns it.
///
/// Everything that accounting depends on lies in this word, so that whoever wins an exchange knows
/// exactly what it ended: a state change and a deletion can never both be counted from the same
/// state.
///
/// | bits | meaning |
/// |---|---|
/// | 0-3 | 0 free, 1 busy (claimed, not yet readable), else protocol state plus 2 |
/// | 4 | half-open: may be recycled |
/// | 5-17 | generation, one more each time the way is claimed |
/// | 18-31 | fingerprint of the key |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tag(pub u32);

impl Tag {
    /// Bits that are zero in a free way.
    pub const PHASE: u32 = 0xf;
    const BUSY: u32 = 1;
    const FIRST_STATE: u32 = 2;
    /// Bit of what may be recycled when a set is short of room.
    pub const HALF_OPEN: u32 = 1 << 4;
    const GENERATION: u32 = 0x3_ffe0;
    const GENERATION_ONE: u32 = 1 << 5;
    /// Bits of the fingerprint.
    pub const FINGERPRINT: u32 = 0xfffc_0000;

    /// The bits that tell free, busy and live ways apart, and the one of what may be recycled: [`Tag::PHASE`] and
    /// [`Tag::HALF_OPEN`].
    #[inline(always)]
    pub const fn condition(self) -> u32 {
        self.0 & (Self::PHASE | Self::HALF_OPEN)
    }

    /// The fingerprint as a number below 2 to the 14th.
    #[inline(always)]
    pub const fn print(self) -> u32 {
        self.0 >> Self::FINGERPRINT.trailing_zeros()
    }

    /// No connection, may be claimed.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.0 & Self::PHASE == 0
    }

    /// A connection lives here.
    #[inline(always)]
    pub const fn is_live(self) -> bool {
        self.0 & Self::PHASE >= Self::FIRST_STATE
    }

    /// Somebody is writing or removing a connection here.
    #[inline(always)]
    pub const fn is_busy(self) -> bool {
        self.0 & Self::PHASE == Self::BUSY
    }

    /// May be recycled when a set is short of room.
    #[inline(always)]
    pub const fn is_half_open(self) -> bool {
        self.0 & Self::HALF_OPEN != 0
    }

    /// Protocol state; meaningful while live.
    #[inline(always)]
    pub const fn state(self) -> u8 {
        ((self.0 & Self::PHASE).wrapping_sub(Self::FIRST_STATE) & 0xf) as u8
    }

    /// Returns whether the fingerprint is this one (in place, see [`Tag::FINGERPRINT`]).
    #[inline(always)]
    pub const fn has_fingerprint(self, fingerprint: u32) -> bool {
        (self.0 ^ fingerprint) & Self::FINGERPRINT == 0
    }

    /// 1 if somebody claimed the way for a key with this fingerprint (in place), else 0.
    #[inline(always)]
    pub const fn claims(self, fingerprint: u32) -> u32 {
        let others = (self.0 ^ (fingerprint | Self::BUSY)) & (Self::FINGERPRINT | Self::PHASE);
        ((others as u64).wrapping_sub(1) >> 63) as u32
    }

    /// Returns whether both are of one connection: generation and fingerprint agree, the state may differ.
    #[inline(always)]
    pub const fn same_connection(self, other: Self) -> bool {
        (self.0 ^ other.0) & (Self::FINGERPRINT | Self::GENERATION) == 0
    }

    /// The claim of a free (or recycled) way for a new connection.
    #[inline(always)]
    #[must_use]
    pub const fn claimed(self, fingerprint: u32) -> Self {
        let generation =
            (self.0 & Self::GENERATION).wrapping_add(Self::GENERATION_ONE) & Self::GENERATION;
        Self(generation | (fingerprint & Self::FINGERPRINT) | Self::BUSY)
    }

    /// A claimed way once its connection is written, or a live one in its next state.
    #[inline(always)]
    #[must_use]
    pub const fn live(self, state: u8, half_open: bool) -> Self {
        let kept = self.0 & (Self::FINGERPRINT | Self::GENERATION);
        let half_open = if half_open { Self::HALF_OPEN } else { 0 };
        Self(kept | half_open | ((state as u32).wrapping_add(Self::FIRST_STATE) & Self::PHASE))
    }

    /// The same connection, busy.
    #[inline(always)]
    #[must_use]
    pub const fn busy(self) -> Self {
        Self((self.0 & !Self::PHASE) | Self::BUSY)
    }

    /// On its way out: busy, and no fingerprint that an inserter would wait for.
    #[inline(always)]
    #[must_use]
    pub const fn leaving(self) -> Self {
        Self((self.0 & Self::GENERATION) | Self::BUSY)
    }

    /// Free again; the generation stays so that the next claim has another.
    #[inline(always)]
    #[must_use]
    pub const fn freed(self) -> Self {
        Self(self.0 & Self::GENERATION)
    }
}
