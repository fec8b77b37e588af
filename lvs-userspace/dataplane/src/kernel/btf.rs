//! The layout of the running kernel's structures, from its type information (BTF).
//!
//! aya's own reader shows no members of structures. The format: Documentation/bpf/btf.rst.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// The running kernel's types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// `BTF_KIND_STRUCT`.
const STRUCT: u32 = 4;
/// `BTF_KIND_UNION`.
const UNION: u32 = 5;
/// `BTF_KIND_ENUM`.
const ENUMERATION: u32 = 6;

/// Types of a kernel.
pub(super) struct Btf {
    bytes: Vec<u8>,
    /// Position of the section of strings.
    strings: usize,
    /// Positions of the types, by their number less one.
    types: Vec<usize>,
}

impl Btf {
    /// Those of the running kernel.
    pub(super) fn of_kernel() -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("{VMLINUX}: not BTF"));
        Self::parse(fs::read(VMLINUX)?).ok_or_else(invalid)
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let magic = u16::from_ne_bytes(*bytes.first_chunk()?);
        let header = |at| usize::try_from(word(&bytes, at)?).ok();
        let length = header(4)?;
        let (from, to) = (length + header(8)?, length + header(8)? + header(12)?);
        let strings = length + header(16)?;
        if magic != MAGIC || to > bytes.len() {
            return None;
        }
        let (mut types, mut at) = (Vec::new(), from);
        while at < to {
            types.push(at);
            let info = word(&bytes, at + 4)?;
            at += 12 + tail(info)?;
        }
        Some(Self {
            bytes,
            strings,
            types,
        })
    }

    /// Position in bytes of a member of a structure, and then of one of that member's, and so on.
    pub(super) fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        let mut at = self.find(STRUCT, structure)?;
        let mut bits = 0;
        for name in path {
            let (offset, of_type) = self.member(at, name)?;
            bits += offset;
            at = self.position(of_type)?;
        }
        Some(bits / 8)
    }

    /// The values of an enumeration with their names.
    pub(super) fn enumerators(&self, enumeration: &str) -> BTreeMap<u32, String> {
        let Some(at) = self.find(ENUMERATION, enumeration) else {
            return BTreeMap::new();
        };
        let many = word(&self.bytes, at + 4).map_or(0, |info| info & 0xffff);
        let enumerator = |index: u32| {
            let at = at + 12 + 8 * usize::try_from(index).ok()?;
            let name = self.name(word(&self.bytes, at)?)?;
            let name = String::from_utf8_lossy(name).into_owned();
            Some((word(&self.bytes, at + 4)?, name))
        };
        (0..many).filter_map(enumerator).collect()
    }

    fn find(&self, kind: u32, name: &str) -> Option<usize> {
        self.types.iter().copied().find(|&at| {
            self.kind(at) == Some(kind)
                && word(&self.bytes, at).and_then(|name| self.name(name)) == Some(name.as_bytes())
        })
    }

    /// Position in bits of a member, and its type. Members of an unnamed member count as the structure's own.
    fn member(&self, at: usize, name: &str) -> Option<(u32, u32)> {
        let info = word(&self.bytes, at + 4)?;
        // Then the upper byte is the size of a bit field.
        let packed = info >> 31 == 1;
        for index in 0..(info & 0xffff) as usize {
            let member = at + 12 + 12 * index;
            let (named, of_type) = (word(&self.bytes, member)?, word(&self.bytes, member + 4)?);
            let mut offset = word(&self.bytes, member + 8)?;
            if packed {
                offset &= 0x00ff_ffff;
            }
            let found = self.name(named)?;
            if found == name.as_bytes() {
                return Some((offset, of_type));
            }
            let inner = self.position(of_type).filter(|_| found.is_empty());
            let inner = inner.filter(|&at| matches!(self.kind(at), Some(STRUCT | UNION)));
            if let Some((within, of_type)) = inner.and_then(|at| self.member(at, name)) {
                return Some((offset + within, of_type));
            }
        }
        None
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.types
            .get(usize::try_from(number.checked_sub(1)?).ok()?)
            .copied()
    }

    fn kind(&self, at: usize) -> Option<u32> {
        Some(word(&self.bytes, at + 4)? >> 24 & 0x1f)
    }

    fn name(&self, offset: u32) -> Option<&[u8]> {
        let from = self.strings + usize::try_from(offset).ok()?;
        self.bytes.get(from..)?.split(|&byte| byte == 0).next()
    }
}

/// Bytes of a type's description behind its first twelve.
fn tail(info: u32) -> Option<usize> {
    let members = (info & 0xffff) as usize;
    Some(match info >> 24 & 0x1f {
        // Without any: pointers, forwards, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // An integer, a variable, a declaration's tag.
        1 | 14 | 17 => 4,
        // An array.
        3 => 12,
        // Structures, unions, sections of data, enumerations of 64 bits.
        4 | 5 | 15 | 19 => 12 * members,
        // Enumerations, prototypes.
        6 | 13 => 8 * members,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `int`, `struct inner { int a; int b; }`, `struct outer { int x; struct { int y; }; struct inner in; }`,
    /// `enum why { FULL = 3, DOWN = 70 }`.
    fn example() -> Vec<u8> {
        let strings = b"\0int\0inner\0a\0b\0outer\0x\0y\0in\0why\0FULL\0DOWN\0";
        let at = |name: &str| {
            let name = [name.as_bytes(), &[0]].concat();
            let found = strings.windows(name.len()).position(|found| found == name);
            u32::try_from(found.unwrap()).unwrap()
        };
        let structure = |members: u32| STRUCT << 24 | members;
        let types = [
            vec![at("int"), 1 << 24, 4, 32],
            vec![at("inner"), structure(2), 8],
            vec![at("a"), 1, 0, at("b"), 1, 32],
            vec![0, structure(1), 4],
            vec![at("y"), 1, 0],
            vec![at("outer"), structure(3), 16],
            vec![at("x"), 1, 0, 0, 3, 32, at("in"), 2, 64],
            vec![at("why"), ENUMERATION << 24 | 2, 4],
            vec![at("FULL"), 3, at("DOWN"), 70],
        ]
        .concat();
        let length = u32::try_from(4 * types.len()).unwrap();
        let text = u32::try_from(strings.len()).unwrap();
        let head = [24, 0, length, length, text];
        let words = head.into_iter().chain(types);
        let mut bytes = [MAGIC.to_ne_bytes(), [1, 0]].concat();
        bytes.extend(words.flat_map(u32::to_ne_bytes));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_in_structures_and_unnamed_ones() {
        let btf = Btf::parse(example()).unwrap();
        assert_eq!(btf.offset("outer", &["x"]), Some(0));
        assert_eq!(btf.offset("outer", &["y"]), Some(4));
        assert_eq!(btf.offset("outer", &["in", "b"]), Some(12));
        assert_eq!(btf.offset("outer", &["b"]), None);
        assert_eq!(btf.offset("nothing", &["b"]), None);
    }

    #[test]
    fn values_of_enumerations_have_names() {
        let btf = Btf::parse(example()).unwrap();
        let expected = [(3, "FULL".to_owned()), (70, "DOWN".to_owned())];
        assert_eq!(btf.enumerators("why"), expected.into());
        assert!(btf.enumerators("outer").is_empty());
    }

    #[test]
    fn what_is_no_type_information_is_refused() {
        assert!(Btf::parse(Vec::new()).is_none());
        let mut bytes = example();
        bytes.truncate(60);
        assert!(Btf::parse(bytes).is_none());
    }
}
