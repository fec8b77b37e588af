//! Lists that an lvsd kept for the next one, which may be older: what that one does not understand is set apart, so that
//! the rest is not lost with it, and kept on for a newer one.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

/// A list of which every understood entry was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    /// In the order of the list.
    pub entries: Vec<T>,
    /// The others.
    pub unknown: Vec<Unknown>,
}

/// An entry that is not understood. Its text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The entry itself.
    pub value: Value,
    reason: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.value, self.reason)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        let (entries, unknown) = (Vec::new(), Vec::new());
        Self { entries, unknown }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Self::default();
        for value in Vec::<Value>::deserialize(deserializer)? {
            match T::deserialize(&value) {
                Ok(entry) => list.entries.push(entry),
                Err(error) => {
                    let reason = error.to_string();
                    list.unknown.push(Unknown { value, reason });
                }
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::AdminState;

    #[test]
    fn what_is_not_understood_is_set_apart() {
        let list: List<AdminState> =
            serde_json::from_str(r#"["drain", "shut", 5, "maint"]"#).unwrap();
        assert_eq!(list.entries, [AdminState::Drain, AdminState::Maint]);
        assert_eq!(list.unknown.len(), 2, "{:?}", list.unknown);
        assert!(list.unknown[0].to_string().starts_with("\"shut\": "));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for text in ["", "{}", "[", "[] []"] {
            assert!(serde_json::from_str::<List<AdminState>>(text).is_err());
        }
    }
}
