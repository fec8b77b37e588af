//! `-b`: flags of schedulers, by their general names and by a scheduler's own names.

use super::error::UsageError;

const FLAG_1: u8 = 0x08;
const FLAG_2: u8 = 0x10;
const FLAG_3: u8 = 0x20;

/// Name, bit, and the scheduler that has the name.
const NAMES: &[(&str, u8, Option<&str>)] = &[
    ("flag-1", FLAG_1, None),
    ("flag-2", FLAG_2, None),
    ("flag-3", FLAG_3, None),
    ("sh-fallback", FLAG_1, Some("sh")),
    ("sh-port", FLAG_2, Some("sh")),
    ("mh-fallback", FLAG_1, Some("mh")),
    ("mh-port", FLAG_2, Some("mh")),
];

/// Parses a list with commas into bits.
pub fn from_text(text: &str, scheduler: &str) -> Result<u8, UsageError> {
    let mut bits = 0;
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let Some((_, bit, owner)) = NAMES.iter().find(|(known, ..)| *known == name) else {
            return Err(UsageError::SchedulerFlag(name.to_owned()));
        };
        if owner.is_some_and(|owner| owner != scheduler) {
            return Err(UsageError::ForeignSchedulerFlag(name.to_owned()));
        }
        bits |= bit;
    }
    Ok(bits)
}

/// The list of names: the scheduler's own where it has any, else general ones; empty without flags.
pub(super) fn to_text(bits: u8, scheduler: &str) -> String {
    let own = NAMES.iter().any(|(.., owner)| *owner == Some(scheduler));
    let owner = own.then_some(scheduler);
    let names: Vec<_> = NAMES
        .iter()
        .filter(|(_, bit, of)| *of == owner && bits & bit != 0)
        .map(|(name, ..)| *name)
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_general_and_own_names() {
        for (text, scheduler, bits, written) in [
            ("", "rr", 0, ""),
            ("flag-1", "rr", 0x08, "flag-1"),
            ("flag-3,flag-1,", "rr", 0x28, "flag-1,flag-3"),
            (",,flag-2", "rr", 0x10, "flag-2"),
            ("flag-1", "sh", 0x08, "sh-fallback"),
            ("sh-port,sh-fallback", "sh", 0x18, "sh-fallback,sh-port"),
            ("mh-port,flag-1", "mh", 0x18, "mh-fallback,mh-port"),
        ] {
            assert_eq!(from_text(text, scheduler), Ok(bits), "{text}");
            assert_eq!(to_text(bits, scheduler), written);
        }
    }

    #[test]
    fn unknown_and_foreign_flags_are_refused() {
        let refused =
            |text, scheduler| from_text(text, scheduler).expect_err("refused").to_string();
        assert_eq!(refused("flag-4", "rr"), "invalid scheduler flag `flag-4'");
        assert_eq!(
            refused("flag-1,sh-port", "rr"),
            "incompatible scheduler flag `sh-port'"
        );
        assert_eq!(
            refused("mh-port", "sh"),
            "incompatible scheduler flag `mh-port'"
        );
    }
}
