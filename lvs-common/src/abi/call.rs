//! Calls of services with the persistence engine `sip`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;
use crate::secrets::Secrets;
use crate::sip::{MAX_CALL_ID, Reader};
use crate::siphash::State;

/// The Call-ID of a template, for listings and for other directors.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// The message that it was read from.
    pub message: Reader,
    /// The client's network whose packet made the template.
    pub client: Address,
}

impl Call {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            message: Reader::new(),
            client: [0; 16],
        }
    }

    /// A call of which another director says the Call-ID. `None`: no message could have it.
    pub fn of(call_id: &[u8], client: Address) -> Option<Self> {
        let mut message = Reader::new();
        let header = b"\nCall-ID:".iter().chain(call_id).chain(b"\n");
        header.take_while(|byte| message.read(**byte)).count();
        (message.call_id() == Some(call_id)).then_some(Self { message, client })
    }

    /// The Call-ID.
    pub fn id(&self) -> Option<&[u8]> {
        self.message.call_id()
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

/// A call as a number below 2 to the 48th: what a template's key has of its Call-ID and of the client's network, as the
/// kernel's engine compares both. Two calls with the same one would share their real server; nobody can make such
/// without the secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct CallNumber(u64);

impl CallNumber {
    /// Set in each, so that the half of a key that has the upper bits is never 0, as it is in other templates' keys.
    const MARK: u64 = 1 << 32;

    /// From a hash of client and Call-ID.
    #[inline(always)]
    pub const fn from_hash(hash: u64) -> Self {
        Self(hash & 0xffff_ffff_ffff | Self::MARK)
    }

    /// From its halves in a key.
    #[inline(always)]
    pub const fn from_halves(low: [u8; 4], high: [u8; 2]) -> Self {
        Self(u32::from_le_bytes(low) as u64 | (u16::from_le_bytes(high) as u64) << 32)
    }

    /// Its halves in a key: in the place of a client's address and of its port.
    #[inline(always)]
    pub const fn halves(self) -> ([u8; 4], [u8; 2]) {
        let [low, high]: [[u8; 4]; 2] = zerocopy::transmute!(self.0.to_le_bytes());
        let [high, _]: [[u8; 2]; 2] = zerocopy::transmute!(high);
        (low, high)
    }

    /// Of a call.
    pub fn of<S: Secrets>(call: &Call, secrets: S) -> Self {
        let call_id = call.id().unwrap_or_default();
        let (blocks, rest) = call_id.as_chunks::<8>();
        let mut last = (call_id.len() as u64) << 56;
        for (place, byte) in (0..).zip(rest) {
            last |= u64::from(*byte) << (8 * place);
        }
        let state = blocks
            .iter()
            .fold(start(&call.client, secrets), |state, block| {
                state.block(u64::from_le_bytes(*block))
            });
        Self::from_hash(state.block(last).finish())
    }
}

/// The hash of a call before the first block of its Call-ID.
#[inline(always)]
fn start<S: Secrets>(client: &Address, secrets: S) -> State {
    let [low, high]: [u64; 2] = zerocopy::transmute!(*client);
    let state = State::new([secrets.secret(12), secrets.secret(13)]);
    state.block(low).block(high)
}

/// The working memory of the packet path while it reads a message.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CallScratch {
    /// The call.
    pub call: Call,
    hash: State,
    /// Its number, once the message is read.
    pub number: CallNumber,
    /// Bytes that were read.
    pub position: u32,
    reserved: u32,
}

impl CallScratch {
    /// Before the first message.
    pub const fn new() -> Self {
        Self {
            call: Call::new(),
            hash: State::new([0; 2]),
            number: CallNumber(0),
            position: 0,
            reserved: 0,
        }
    }

    /// Before the next message.
    #[inline(always)]
    pub const fn restart(&mut self) {
        self.call.message.restart();
        self.position = 0;
    }

    /// Begins the hash of the Call-ID; blocks 0 to [`CallScratch::blocks`] follow.
    #[inline(always)]
    pub fn begin_hash<S: Secrets>(&mut self, secrets: S) {
        self.hash = start(&self.call.client, secrets);
    }

    /// Blocks of the hash.
    #[inline(always)]
    pub const fn blocks(&self) -> u32 {
        self.call.message.length() / 8 + 1
    }

    /// Adds a block to the hash.
    #[inline(always)]
    pub fn hash_block(&mut self, number: u32) {
        let message = &self.call.message;
        let word = message.text().get(number as usize & 31).copied();
        let left = message.length().wrapping_sub(number.wrapping_mul(8));
        let block = if left < 8 {
            let bytes = u64::from_le(word.unwrap_or(0)) & ((1 << (8 * left)) - 1);
            bytes | u64::from(message.length()) << 56
        } else {
            u64::from_le(word.unwrap_or(0))
        };
        self.hash = self.hash.block(block);
    }

    /// Ends the hash.
    #[inline(always)]
    pub fn end_hash(&mut self) -> CallNumber {
        self.number = CallNumber::from_hash(self.hash.finish());
        self.number
    }
}

impl Default for CallScratch {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = {
    assert!(MAX_CALL_ID == 255);
    assert!(size_of::<Call>() == 280);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_path_and_the_daemon_number_calls_alike() {
        let secrets: [u64; 16] = core::array::from_fn(|place| place as u64 * 0x1234_5678_9abc);
        let text: [u8; 255] = core::array::from_fn(|place| b"call-id.of-host"[place % 15]);
        for length in 1..=255 {
            let id = &text[..length];
            let mut scratch = CallScratch::new();
            // Whatever an earlier message left behind the Call-ID.
            scratch.call = Call::of(&[b'z'; 255], [0; 16]).unwrap();
            scratch.restart();
            for &byte in b"\nCall-ID:".iter().chain(id).chain(b"\n") {
                scratch.call.message.read(byte);
            }
            assert_eq!(scratch.call.id(), Some(id));
            scratch.begin_hash(&secrets);
            for block in 0..scratch.blocks() {
                scratch.hash_block(block);
            }
            let number = scratch.end_hash();
            let call = Call::of(id, [0; 16]).unwrap();
            assert_eq!(number, CallNumber::of(&call, &secrets), "{length} bytes");
            let elsewhere = Call::of(id, [1; 16]).unwrap();
            assert_ne!(number, CallNumber::of(&elsewhere, &secrets));
            let (low, high) = number.halves();
            assert_eq!(number, CallNumber::from_halves(low, high));
            assert_ne!(high, [0; 2]);
        }
        assert!(Call::of(b"", [0; 16]).is_none());
        assert!(Call::of(&[b'a'; 256], [0; 16]).is_none());
        for not_one in ["a b", "a\x1b[2J", "a\nb", "a@", " a", "\u{e9}\u{1}"] {
            assert!(
                Call::of(not_one.as_bytes(), [0; 16]).is_none(),
                "{not_one:?}"
            );
        }
    }
}
