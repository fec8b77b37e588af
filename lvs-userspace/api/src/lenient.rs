//! Lists that an lvsd kept for the next one, which may be older: what that one does not understand is set apart, so that
//! the rest is not lost with it, and kept on for a newer one.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A list of which every understood entry was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    /// In the order of the list.
    pub entries: Vec<T>,
    /// The rest.
    pub newer: Newer<T>,
}

/// The part of a list that only a newer version understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer<T> {
    /// Entries that are not understood at all.
    pub unknown: Vec<Unknown>,
    /// Entries with more in them than is understood, and their whole text.
    extended: Vec<(T, Value)>,
}

/// An entry that is not understood. Its text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    value: Value,
    reason: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.value, self.reason)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            newer: Newer::default(),
        }
    }
}

impl<T> Default for Newer<T> {
    fn default() -> Self {
        let (unknown, extended) = (Vec::new(), Vec::new());
        Self { unknown, extended }
    }
}

impl<T: Serialize + PartialEq> Newer<T> {
    /// The list to keep: the entries that are not understood, then these, each as it was read if it still says the same.
    /// Of two entries about the same thing the last one holds, so what was decided since does.
    pub fn list(&self, entries: impl IntoIterator<Item = T>) -> serde_json::Result<Vec<Value>> {
        let unknown = self.unknown.iter().map(|entry| Ok(entry.value.clone()));
        let known = entries.into_iter().map(|entry| {
            let mut extended = self.extended.iter();
            match extended.find(|(read, _)| *read == entry) {
                Some((_, whole)) => Ok(whole.clone()),
                None => serde_json::to_value(entry),
            }
        });
        unknown.chain(known).collect()
    }

    /// Forgets what was read about some things: other decisions were made about them.
    pub fn forget(&mut self, superseded: impl Fn(&T) -> bool) {
        self.extended.retain(|(read, _)| !superseded(read));
    }
}

impl<'de, T: DeserializeOwned + Serialize + Clone> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Self::default();
        for value in Vec::<Value>::deserialize(deserializer)? {
            match T::deserialize(&value) {
                Ok(entry) => {
                    if serde_json::to_value(&entry).is_ok_and(|understood| understood != value) {
                        list.newer.extended.push((entry.clone(), value));
                    }
                    list.entries.push(entry);
                }
                Err(error) => {
                    let reason = error.to_string();
                    list.newer.unknown.push(Unknown { value, reason });
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
        let unknown = list.newer.unknown;
        assert_eq!(unknown.len(), 2, "{unknown:?}");
        assert!(unknown[0].to_string().starts_with("\"shut\": "));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for text in ["", "{}", "[", "[] []"] {
            assert!(serde_json::from_str::<List<AdminState>>(text).is_err());
        }
    }

    #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct Entry {
        name: char,
        size: u8,
    }

    #[test]
    fn fields_that_are_not_understood_stay_with_an_entry_that_says_the_same() {
        let a = r#"{"name":"a","size":1,"until":{"day":5}}"#;
        let b = r#"{"name":"b","size":1,"until":6}"#;
        let c = r#"{"name":"c","size":1}"#;
        let list: List<Entry> = serde_json::from_str(&format!("[{a},{b},{c},7]")).unwrap();
        let mut entries = list.entries;
        let written = |newer: &Newer<Entry>, entries: &[Entry]| {
            let list = newer.list(entries.iter().cloned()).unwrap();
            serde_json::to_string(&list).unwrap()
        };
        assert_eq!(written(&list.newer, &entries), format!("[7,{a},{b},{c}]"));
        entries[1].size = 2;
        let changed = r#"{"name":"b","size":2}"#;
        assert_eq!(
            written(&list.newer, &entries),
            format!("[7,{a},{changed},{c}]")
        );
        // Changed back, it is another decision of the same content.
        let mut newer = list.newer;
        newer.forget(|entry| entry.name == 'b');
        entries[1].size = 1;
        let again = r#"{"name":"b","size":1}"#;
        assert_eq!(written(&newer, &entries), format!("[7,{a},{again},{c}]"));
    }
}
