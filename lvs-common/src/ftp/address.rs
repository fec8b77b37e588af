//! The address in a reply to PASV, and another one in its place.

use super::reader::{BEHIND_VERB, Reader};

/// The bytes of an address in a reply to PASV that stand before the comma behind it, the bracket included.
pub const ADDRESS_TEXT: usize = 16;

/// Another address for the reply to PASV, of the same length: the free text before the bracket makes up for the
/// difference, which clients must not depend on (RFC 1123 section 4.1.2.6). So no sequence number of the control
/// connection changes.
impl Reader {
    /// Begins the text of the other address.
    #[inline(always)]
    pub const fn begin_address(&mut self) {
        self.written = [0, b'(' as u64];
        self.length = 1;
    }

    /// Adds one of its four numbers.
    #[inline(always)]
    pub const fn write(&mut self, number: u8) {
        if self.length != 1 {
            self.write_byte(b',');
        }
        if number >= 100 {
            self.write_byte(b'0' + number / 100);
        }
        if number >= 10 {
            self.write_byte(b'0' + number / 10 % 10);
        }
        self.write_byte(b'0' + number % 10);
    }

    #[inline(always)]
    const fn write_byte(&mut self, byte: u8) {
        let [upper, lower] = self.written;
        self.written = [upper << 8 | lower >> 56, lower << 8 | byte as u64];
        self.length = self.length.wrapping_add(1);
    }

    /// Place of the comma behind the address.
    #[inline(always)]
    pub const fn comma(&self) -> u32 {
        self.comma
    }

    /// The bytes before the comma with the other address; `None`: the text before the bracket is shorter than what
    /// the other one is longer.
    #[inline(always)]
    pub const fn readdressed(&self, bytes: [u8; ADDRESS_TEXT]) -> Option<[u8; ADDRESS_TEXT]> {
        let old = self.comma.wrapping_sub(self.open);
        let text = self.open.wrapping_sub(BEHIND_VERB);
        if self.length > old.wrapping_add(text) {
            return None;
        }
        let changed = if self.length > old { self.length } else { old };
        let [upper, lower]: [[u8; 8]; 2] = zerocopy::transmute!(bytes);
        let [upper, lower] = [u64::from_be_bytes(upper), u64::from_be_bytes(lower)];
        let [kept, address] = [last(changed), last(self.length)];
        let [new_upper, new_lower] = self.written;
        let halves = [
            merge(upper, new_upper, kept[0], address[0]).to_be_bytes(),
            merge(lower, new_lower, kept[1], address[1]).to_be_bytes(),
        ];
        Some(zerocopy::transmute!(halves))
    }
}

/// The bits of the last of sixteen bytes, so many of them.
#[inline(always)]
const fn last(bytes: u32) -> [u64; 2] {
    [mask(bytes.saturating_sub(8)), mask(bytes)]
}

/// The bits of the last of eight bytes.
#[inline(always)]
const fn mask(bytes: u32) -> u64 {
    if bytes >= 8 {
        u64::MAX
    } else {
        (1 << (8 * (bytes & 7))) - 1
    }
}

/// Old bytes, but for those that change: there the address, and spaces before it.
#[inline(always)]
const fn merge(old: u64, new: u64, changed: u64, address: u64) -> u64 {
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    old & !changed | SPACES & changed & !address | new & address
}
