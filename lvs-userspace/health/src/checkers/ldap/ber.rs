//! The few ASN.1 values that a bind and a search are made of, in LDAP's basic encoding rules
//! (RFC 4511, section 5.1): definite lengths only, of any form.
//!
//! Not DER, which refuses the long lengths that Active Directory writes; and read value by value, so
//! that nesting costs a hostile answer no stack of ours.

/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub(super) const ENUMERATED: u8 = 0x0a;
/// BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;

/// A value with its tag and length.
pub(super) fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![tag];
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        bytes.push(short);
    } else {
        bytes.push(0x84);
        bytes.extend(length.to_be_bytes());
    }
    bytes.extend(contents);
    bytes
}

/// A value that is made of others.
pub(super) fn constructed(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// The length of a value, by its first bytes: known once tag and length are complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// More of the length has to be there.
    Unknown,
    /// So many bytes of tag and length, and so many of contents.
    Known { header: usize, contents: usize },
    /// There is no such length.
    Wrong,
}

/// Reads a length.
pub(super) fn length(bytes: &[u8]) -> Length {
    let Some(first) = bytes.get(1) else {
        return Length::Unknown;
    };
    if *first < 0x80 {
        return Length::Known {
            header: 2,
            contents: usize::from(*first),
        };
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Length::Wrong;
    }
    let Some(digits) = bytes.get(2..2 + count) else {
        return Length::Unknown;
    };
    let contents = digits
        .iter()
        .fold(0, |length, digit| length << 8 | usize::from(*digit));
    Length::Known {
        header: 2 + count,
        contents,
    }
}

/// Splits a value off the front: its tag and its contents.
pub(super) fn split<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let Length::Known { header, contents } = length(bytes) else {
        return None;
    };
    let tag = bytes[0];
    let whole = bytes.get(..header.checked_add(contents)?)?;
    *bytes = &bytes[whole.len()..];
    Some((tag, &whole[header..]))
}

/// Splits off a value with this tag.
pub(super) fn expect<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    split(bytes)
        .filter(|(found, _)| *found == tag)
        .map(|(_, contents)| contents)
}

/// A whole number, not negative: LDAP has no others in its answers.
pub(super) fn number(contents: &[u8]) -> Option<u32> {
    if contents.is_empty() || contents.len() > 4 || contents[0] >= 0x80 {
        return None;
    }
    Some(
        contents
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_of_every_form() {
        let known = |header, contents| Length::Known { header, contents };
        assert_eq!(length(&[0x30, 5]), known(2, 5));
        // Active Directory writes four bytes for any.
        assert_eq!(length(&[0x30, 0x84, 0, 0, 0, 5]), known(6, 5));
        assert_eq!(length(&[0x30]), Length::Unknown);
        assert_eq!(length(&[0x30, 0x82, 1]), Length::Unknown);
        assert_eq!(length(&[0x30, 0x80]), Length::Wrong);
        assert_eq!(length(&[0x30, 0x85, 0, 0, 0, 0, 1]), Length::Wrong);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tag: u8, contents in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = value(tag, &contents);
            let mut rest = &bytes[..];
            prop_assert_eq!(split(&mut rest), Some((tag, &contents[..])));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut rest = &bytes[..];
            while split(&mut rest).is_some() {}
        }
    }
}
