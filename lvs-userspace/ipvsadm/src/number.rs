//! Numbers as ipvsadm reads them: decimal, with blanks and a sign allowed before, and nothing after.

use std::ops::RangeInclusive;

use super::error::UsageError;

/// A month of 31 days: the longest time IPVS takes.
const MAX_TIMEOUT: u32 = 31 * 24 * 60 * 60;

/// Parses a number in `range`.
pub(super) fn number(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let value: i64 = text.trim_start().parse().ok()?;
    u32::try_from(value)
        .ok()
        .filter(|value| range.contains(value))
}

/// Parses seconds, at least `least`.
pub(super) fn timeout(text: &str, least: u32) -> Result<u32, UsageError> {
    number(text, least..=MAX_TIMEOUT).ok_or_else(|| UsageError::Timeout(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_decimal_with_nothing_after_it() {
        for (text, expected) in [
            ("5", Some(5)),
            ("+5", Some(5)),
            (" 5", Some(5)),
            ("05", Some(5)),
            ("-0", Some(0)),
            ("10", Some(10)),
            ("11", None),
            ("-1", None),
            ("5x", None),
            ("0x5", None),
            ("", None),
            (" ", None),
            ("5 ", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(number(text, 0..=10), expected, "{text:?}");
        }
    }
}
