//! The Call-ID of a SIP message, as the kernel's connection tracking finds it for IPVS's persistence engine `sip`: in
//! the first header of that name behind the first line, whatever that line says. Names of headers are compared without
//! regard to case, `i` is short for `Call-ID`, and a header may go on in a line that begins with a space.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a Call-ID at most.
pub const MAX_CALL_ID: usize = 255;
/// Bytes that text and length of a Call-ID need.
const TEXT_WORDS: usize = 32;

/// The name of the header, in lower case.
const NAME: [u8; 7] = *b"call-id";
/// Every byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// In a line, of which nothing is of interest.
const LINE: u32 = 0;
/// Behind the CR of a line's end.
const LINE_CR: u32 = 1;
/// At the first byte of a line.
const START: u32 = 2;
/// So many bytes of [`NAME`] matched: `NAMED + 1` to `NAMED + 6`.
const NAMED: u32 = 2;
/// Behind an `i` at a line's start.
const SHORT: u32 = 9;
/// Behind the name, before the colon.
const COLON: u32 = 10;
/// Behind the colon, before the value.
const VALUE: u32 = 14;
/// Added to `COLON` or `VALUE`: behind a CR there.
const CR: u32 = 1;
/// Added to `COLON` or `VALUE`: behind the end of a line, at the first byte of the next.
const FOLD: u32 = 2;
/// Added to `COLON` or `VALUE`: in a line that continues the header.
const FOLDED: u32 = 3;
/// In the Call-ID.
const WORD: u32 = 18;
/// Behind the `@` in it.
const HOST: u32 = 19;
/// In the part behind the `@`.
const IN_HOST: u32 = 20;
/// The Call-ID is complete.
const DONE: u32 = 21;
/// There is none.
const NONE: u32 = 22;

/// Reads a SIP message byte by byte until its Call-ID is known.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Reader {
    /// The Call-ID so far. What follows it is of an earlier message.
    text: [u64; TEXT_WORDS],
    /// Bytes of it.
    length: u32,
    state: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// At the first byte of a message.
    pub const fn new() -> Self {
        Self {
            text: [0; TEXT_WORDS],
            length: 0,
            state: LINE,
        }
    }

    /// Goes to the first byte of another message.
    #[inline(always)]
    pub const fn restart(&mut self) {
        self.length = 0;
        self.state = LINE;
    }

    /// Returns whether the Call-ID is complete.
    #[inline(always)]
    pub const fn is_complete(&self) -> bool {
        self.state == DONE
    }

    /// Returns whether the next bytes end no line that matters: none of them needs to be read alone.
    #[inline(always)]
    pub const fn skips(&self, bytes: u64) -> bool {
        const fn has_zero(word: u64) -> bool {
            word.wrapping_sub(EACH) & !word & (EACH << 7) != 0
        }
        let line_end =
            has_zero(bytes ^ (EACH * b'\n' as u64)) || has_zero(bytes ^ (EACH * b'\r' as u64));
        self.state == LINE && !line_end
    }

    /// Bytes of the Call-ID.
    #[inline(always)]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// The Call-ID.
    pub fn call_id(&self) -> Option<&[u8]> {
        let text = self.text.as_bytes();
        self.is_complete()
            .then(|| text.get(..self.length as usize))
            .flatten()
    }

    /// Its words, for a map.
    #[inline(always)]
    pub const fn text(&self) -> &[u64; TEXT_WORDS] {
        &self.text
    }

    /// Reads a byte. False: no further one matters.
    #[inline(always)]
    pub fn read(&mut self, byte: u8) -> bool {
        let state = self.next(byte);
        self.state = state;
        state < DONE
    }

    #[inline(always)]
    fn next(&mut self, byte: u8) -> u32 {
        match self.state {
            LINE => line(byte),
            LINE_CR if byte == b'\n' => START,
            LINE_CR | START => start(byte),
            state if state < SHORT => {
                let matched = (state - NAMED) as usize & 7;
                let expected = NAME.get(matched).copied().unwrap_or(0);
                match lower(byte) == expected {
                    true if matched + 1 == NAME.len() => COLON,
                    true => state + 1,
                    false => line(byte),
                }
            }
            SHORT if is_alphabetic(byte) => LINE,
            SHORT => space(COLON, COLON, byte).unwrap_or_else(|| colon(byte)),
            state if state < VALUE => space(COLON, state, byte).unwrap_or_else(|| colon(byte)),
            state if state < WORD => match space(VALUE, state, byte) {
                Some(next) => next,
                None => self.push(byte, WORD),
            },
            WORD if byte == b'@' => self.append(byte, HOST),
            WORD | IN_HOST if byte == b'\r' || byte == b'\n' => DONE,
            HOST => self.push(byte, IN_HOST),
            // What follows is neither of it nor a line's end.
            WORD | IN_HOST if !is_word(byte) => NONE,
            state @ (WORD | IN_HOST) => self.append(byte, state),
            _ => NONE,
        }
    }

    /// The first byte of the Call-ID, or of its second part; it may be none: then another header may be one.
    #[inline(always)]
    fn push(&mut self, byte: u8, next: u32) -> u32 {
        if is_word(byte) {
            return self.append(byte, next);
        }
        self.length = 0;
        line(byte)
    }

    #[inline(always)]
    fn append(&mut self, byte: u8, next: u32) -> u32 {
        let length = self.length as usize;
        if length >= MAX_CALL_ID {
            return NONE;
        }
        if let Some(place) = self.text.as_mut_bytes().get_mut(length & MAX_CALL_ID) {
            *place = byte;
        }
        self.length = self.length.wrapping_add(1);
        next
    }
}

/// In a line.
#[inline(always)]
const fn line(byte: u8) -> u32 {
    match byte {
        b'\r' => LINE_CR,
        b'\n' => START,
        _ => LINE,
    }
}

/// At a line's start. What begins no name there is passed over, were it the end of an empty line.
#[inline(always)]
const fn start(byte: u8) -> u32 {
    match byte {
        b'c' | b'C' => NAMED + 1,
        b'i' | b'I' => SHORT,
        _ => LINE,
    }
}

/// Between name, colon and value: the state after space there, of which `base` is the first. `None`: it is no space.
#[inline(always)]
const fn space(base: u32, state: u32, byte: u8) -> Option<u32> {
    let blank = byte == b' ' || byte == b'\t';
    let within = state - base;
    if within == CR && byte == b'\n' {
        return Some(base + FOLD);
    }
    if within == CR || within == FOLD {
        return Some(if blank { base + FOLDED } else { NONE });
    }
    if blank {
        return Some(state);
    }
    match byte {
        b'\r' if within == 0 => Some(base + CR),
        b'\n' if within == 0 => Some(base + FOLD),
        _ => None,
    }
}

#[inline(always)]
const fn colon(byte: u8) -> u32 {
    if byte == b':' { VALUE } else { NONE }
}

#[inline(always)]
const fn lower(byte: u8) -> u8 {
    if byte.wrapping_sub(b'A') < 26 {
        byte | 0x20
    } else {
        byte
    }
}

/// A letter of Latin-1, as the kernel's `isalpha` has it.
#[inline(always)]
const fn is_alphabetic(byte: u8) -> bool {
    lower(byte).wrapping_sub(b'a') < 26 || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}

/// A byte of a `word` (RFC 3261, section 25.1), or a comma, which the kernel takes for one.
#[inline(always)]
const fn is_word(byte: u8) -> bool {
    const fn set(mut bytes: &[u8]) -> u128 {
        let mut bits = 0;
        while let [first, rest @ ..] = bytes {
            bits |= 1 << *first;
            bytes = rest;
        }
        bits
    }
    const WORD: u128 = set(
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-.!%*_+`'~(),<>:\\\"/[]?{}",
    );
    const HALVES: [u64; 2] = zerocopy::transmute!(WORD.to_le_bytes());
    let [low, high] = HALVES;
    let bits = match byte >> 6 {
        0 => u64::from_le(low),
        1 => u64::from_le(high),
        _ => return is_alphabetic(byte),
    };
    bits >> (byte & 63) & 1 != 0
}
