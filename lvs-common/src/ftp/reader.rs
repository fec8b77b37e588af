//! The parser of the messages.

use zerocopy::byteorder::network_endian::U16;

use super::FIRST_PORT;
use crate::abi::Address;
use crate::family::Family;

/// Bytes of a message that are the same in all of its kind: its first ones.
pub const VERB: usize = BEHIND_VERB as usize;
/// Place of the byte behind them.
pub(super) const BEHIND_VERB: u32 = 4;

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Message {
    /// A client's PORT: its address and the port that it listens on.
    Port = 0,
    /// A client's EPRT, the same for either family.
    ExtendedPort = 1,
    /// A server's reply to PASV: its address and the port that it listens on.
    Passive = 2,
    /// A server's reply to EPSV: the port alone.
    ExtendedPassive = 3,
}

impl Message {
    /// The message of a client that begins with these bytes.
    #[inline(always)]
    pub const fn of_client(verb: [u8; VERB]) -> Option<Self> {
        const PORT: u32 = u32::from_be_bytes(*b"port");
        const EPRT: u32 = u32::from_be_bytes(*b"eprt");
        // Letters differ from others in case by one bit, which no other bytes make letters of.
        match u32::from_be_bytes(verb) | 0x2020_2020 {
            PORT => Some(Self::Port),
            EPRT => Some(Self::ExtendedPort),
            _ => None,
        }
    }

    /// The message of a server that begins with these bytes.
    #[inline(always)]
    pub const fn of_server(verb: [u8; VERB]) -> Option<Self> {
        match &verb {
            b"227 " => Some(Self::Passive),
            b"229 " => Some(Self::ExtendedPassive),
            _ => None,
        }
    }

    /// Returns whether it is a server's.
    #[inline(always)]
    pub const fn is_passive(self) -> bool {
        matches!(self, Self::Passive | Self::ExtendedPassive)
    }
}

/// Behind the verb: a server's text up to the bracket, a client's spaces.
const START: u32 = 0;
/// In the six numbers of PORT and PASV.
const NUMBERS: u32 = 1;
/// At the first byte of the extended forms: their delimiter.
const DELIMITER: u32 = 2;
/// At the number of the address family.
const FAMILY: u32 = 3;
/// Behind it, before the delimiter.
const FAMILY_END: u32 = 4;
/// In an IPv4 address.
const ADDRESS4: u32 = 5;
/// In an IPv6 address.
const ADDRESS6: u32 = 6;
/// At the delimiter of the empty address of EPSV.
const NO_ADDRESS: u32 = 7;
/// In the port of the extended forms.
const PORT: u32 = 8;
/// Before the end of the extended forms.
const END: u32 = 9;
/// The message is complete.
const DONE: u32 = 10;
/// It is none.
const NONE: u32 = 11;

/// Numbers of an IPv6 address.
const GROUPS: u32 = 8;

/// Reads a message byte by byte, from behind its verb on.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    state: u32,
    message: Message,
    /// The number of the family that an address has to be of: 1 for IPv4, 2 for IPv6.
    family: u32,
    delimiter: u32,
    /// Bytes of the message that were read, the verb included.
    position: u32,
    /// The number that is being read, and its digits.
    number: u32,
    digits: u32,
    /// The numbers before it: those of the address, of PORT and PASV also those of the port.
    numbers: [u16; GROUPS as usize],
    count: u32,
    /// Of an IPv6 address: numbers behind `::`, the last one in the lowest bits; that there is one, and colons that were
    /// just read.
    tail: [u64; 2],
    gap: u32,
    colons: u32,
    /// The port.
    port: u32,
    /// Place of the bracket before the address, and of the comma behind it.
    pub(super) open: u32,
    pub(super) comma: u32,
    /// See [`Reader::write`]: bytes, and how many there are.
    pub(super) written: [u64; 2],
    pub(super) length: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(Message::Port, 0)
    }
}

impl Reader {
    /// Behind the verb of a message on a connection of this family, 4 or 6.
    #[inline(always)]
    pub const fn new(message: Message, family: u8) -> Self {
        Self {
            state: START,
            message,
            family: if family == 4 { 1 } else { 2 },
            delimiter: 0,
            position: BEHIND_VERB,
            number: 0,
            digits: 0,
            numbers: [0; GROUPS as usize],
            count: 0,
            tail: [0; 2],
            gap: 0,
            colons: 0,
            port: 0,
            open: 0,
            comma: 0,
            written: [0; 2],
            length: 0,
        }
    }

    /// The message, once all of it is read and it names a port that may be one.
    #[inline(always)]
    pub fn message(&self) -> Option<Message> {
        let complete = self.state == DONE && self.port >= u32::from(FIRST_PORT);
        complete.then_some(self.message)
    }

    /// The port that it names.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "below 65,536")]
    pub const fn port(&self) -> U16 {
        U16::new(self.port as u16)
    }

    /// Returns whether it names this address, of the family of its connection.
    #[inline(always)]
    pub fn names<F: Family>(&self, address: F::Address) -> bool {
        let bytes: Address = F::widen(address);
        let expected: [u16; 8] = zerocopy::transmute!(bytes);
        let expected = expected.map(u16::from_be);
        if F::NUMBER == 4 {
            let [first, second, third, fourth, ..] = self.numbers;
            let [upper, lower, ..] = expected;
            return (first << 8 | second, third << 8 | fourth) == (upper, lower);
        }
        let ([upper, lower], [tail_upper, tail_lower]) = (words(self.numbers), self.tail);
        [upper | tail_upper, lower | tail_lower] == words(expected)
    }

    /// Reads a byte. False: no further one matters.
    #[inline(always)]
    pub fn read(&mut self, byte: u8) -> bool {
        self.state = self.next(u32::from(byte));
        self.position = self.position.wrapping_add(1);
        self.state < DONE
    }

    #[inline(always)]
    fn next(&mut self, byte: u32) -> u32 {
        match self.state {
            START => self.start(byte),
            NUMBERS => self.numbers(byte),
            DELIMITER => self.delimiter(byte),
            FAMILY if byte == u32::from(b'0') + self.family => FAMILY_END,
            FAMILY_END if byte != self.delimiter => NONE,
            FAMILY_END if self.family == 1 => ADDRESS4,
            FAMILY_END => ADDRESS6,
            ADDRESS4 => self.address4(byte),
            ADDRESS6 => self.address6(byte),
            NO_ADDRESS if byte == self.delimiter => PORT,
            PORT => self.read_port(byte),
            END if self.ends(byte) => DONE,
            _ => NONE,
        }
    }

    /// The state behind a byte before the addresses, which is the first one of them for a client.
    #[inline(always)]
    fn start(&mut self, byte: u32) -> u32 {
        if self.message.is_passive() {
            if is_line_end(byte) {
                return NONE;
            }
            if byte != u32::from(b'(') {
                return START;
            }
            self.open = self.position;
            return if self.message == Message::Passive {
                NUMBERS
            } else {
                DELIMITER
            };
        }
        if byte == u32::from(b' ') {
            self.open = self.position;
            return START;
        }
        // At least one space.
        if self.open == 0 {
            return NONE;
        }
        if self.message == Message::Port {
            self.numbers(byte)
        } else {
            self.delimiter(byte)
        }
    }

    /// In `h1,h2,h3,h4,p1,p2`, of IPv4 only.
    #[inline(always)]
    fn numbers(&mut self, byte: u32) -> u32 {
        if self.family != 1 {
            return NONE;
        }
        if let Some(digit) = decimal(byte) {
            return self.digit(digit, 3, 255, NUMBERS);
        }
        if self.digits == 0 {
            return NONE;
        }
        if byte == u32::from(b',') && self.count < 5 {
            self.push();
            if self.count == 4 {
                self.comma = self.position;
            }
            return NUMBERS;
        }
        if self.count == 5 && self.ends(byte) {
            let [_, _, _, _, high, ..] = self.numbers;
            self.port = u32::from(high) << 8 | self.number & 255;
            return DONE;
        }
        NONE
    }

    /// The delimiter of the extended forms: any character that is printed, but no digit.
    #[inline(always)]
    fn delimiter(&mut self, byte: u32) -> u32 {
        // Of EPSV's reply two follow with nothing between.
        let first = self.delimiter == 0;
        if !first {
            return if byte == self.delimiter {
                NO_ADDRESS
            } else {
                NONE
            };
        }
        if !(33..=126).contains(&byte) || decimal(byte).is_some() {
            return NONE;
        }
        self.delimiter = byte;
        if self.message == Message::ExtendedPassive {
            DELIMITER
        } else {
            FAMILY
        }
    }

    #[inline(always)]
    fn address4(&mut self, byte: u32) -> u32 {
        if let Some(digit) = decimal(byte) {
            return self.digit(digit, 3, 255, ADDRESS4);
        }
        if self.digits == 0 {
            return NONE;
        }
        let last = self.count == 3;
        let expected = if last {
            self.delimiter
        } else {
            u32::from(b'.')
        };
        if byte != expected {
            return NONE;
        }
        self.push();
        if last { PORT } else { ADDRESS4 }
    }

    #[inline(always)]
    fn address6(&mut self, byte: u32) -> u32 {
        if let Some(digit) = hexadecimal(byte) {
            // A single colon cannot be the first character.
            let begins = self.colons == 1 && self.count == 0 && self.gap == 0;
            if begins || self.digits == 4 || self.count >= GROUPS {
                return NONE;
            }
            self.number = self.number << 4 | digit;
            self.digits = self.digits.wrapping_add(1);
            self.colons = 0;
            return ADDRESS6;
        }
        let ends = byte == self.delimiter;
        if !ends && byte != u32::from(b':') {
            return NONE;
        }
        if self.digits != 0 {
            self.push();
        } else if !ends && self.colons == 1 && self.gap == 0 {
            self.gap = 1;
        } else if self.colons != if ends { 2 } else { 0 } || (!ends && self.count != 0) {
            return NONE;
        }
        if !ends {
            self.colons = self.colons.wrapping_add(1);
            return ADDRESS6;
        }
        // `::` stands for one group at least.
        let whole = if self.gap == 0 {
            self.count == GROUPS
        } else {
            self.count < GROUPS
        };
        if whole { PORT } else { NONE }
    }

    #[inline(always)]
    fn read_port(&mut self, byte: u32) -> u32 {
        if let Some(digit) = decimal(byte) {
            return self.digit(digit, 5, 65_535, PORT);
        }
        if byte != self.delimiter || self.digits == 0 {
            return NONE;
        }
        self.port = self.number;
        END
    }

    /// Adds a digit to a number that has so many digits at most, and is not above another one.
    #[inline(always)]
    const fn digit(&mut self, digit: u32, digits: u32, most: u32, state: u32) -> u32 {
        if self.digits >= digits {
            return NONE;
        }
        self.number = self.number.wrapping_mul(10).wrapping_add(digit);
        self.digits = self.digits.wrapping_add(1);
        if self.number > most { NONE } else { state }
    }

    /// Ends a number of the address.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "four hexadecimal digits")]
    fn push(&mut self) {
        let number = self.number as u16;
        if self.gap == 0 {
            if let Some(place) = self.numbers.get_mut(self.count as usize & 7) {
                *place = number;
            }
        } else {
            let [upper, lower] = self.tail;
            self.tail = [upper << 16 | lower >> 48, lower << 16 | u64::from(number)];
        }
        self.count = self.count.wrapping_add(1);
        self.number = 0;
        self.digits = 0;
    }

    /// Returns whether a byte ends a message.
    #[inline(always)]
    const fn ends(&self, byte: u32) -> bool {
        if self.message.is_passive() {
            byte == b')' as u32
        } else {
            is_line_end(byte)
        }
    }
}

/// The numbers of an IPv6 address as two.
#[inline(always)]
const fn words(numbers: [u16; 8]) -> [u64; 2] {
    let [upper, lower]: [[u16; 4]; 2] = zerocopy::transmute!(numbers);
    [word(upper), word(lower)]
}

#[inline(always)]
const fn word([first, second, third, fourth]: [u16; 4]) -> u64 {
    (first as u64) << 48 | (second as u64) << 32 | (third as u64) << 16 | fourth as u64
}

#[inline(always)]
const fn is_line_end(byte: u32) -> bool {
    byte == b'\r' as u32 || byte == b'\n' as u32
}

/// The value of a decimal digit.
#[inline(always)]
const fn decimal(byte: u32) -> Option<u32> {
    let digit = byte.wrapping_sub(b'0' as u32);
    if digit < 10 { Some(digit) } else { None }
}

/// The value of a hexadecimal digit.
#[inline(always)]
const fn hexadecimal(byte: u32) -> Option<u32> {
    let letter = (byte | 0x20).wrapping_sub(b'a' as u32);
    if letter < 6 {
        Some(letter + 10)
    } else {
        decimal(byte)
    }
}
