//! Splits words into switches and values by the rules of ipvsadm's option parser (popt): letters may be bundled;
//! a value may be attached, follow `=`, or be the next word.

use std::vec;

use super::error::UsageError;
use super::option::{Spelling, Switch, Value, long, short};

/// A switch or another word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A switch, as it was written, and its value.
    Switch {
        switch: Switch,
        written: String,
        value: Option<String>,
    },
    /// Anything else.
    Word(String),
}

/// Iterator over the switches and words of a command line.
pub(super) struct Words {
    rest: vec::IntoIter<String>,
    /// A bundle of letters, and the offset of its next letter.
    bundle: Option<(String, usize)>,
    /// `--` was seen: no more switches.
    plain: bool,
}

impl Words {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self {
            rest: words.into_iter(),
            bundle: None,
            plain: false,
        }
    }

    fn long_switch(&mut self, word: String) -> Result<Item, UsageError> {
        let text = word.trim_start_matches('-');
        let (name, glued) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let Some(spelling) = long(name) else {
            return Err(UsageError::UnknownOption(word));
        };
        let value = self.value(spelling, glued, &word)?;
        Ok(Item::Switch {
            switch: spelling.switch,
            written: word,
            value,
        })
    }

    fn bundled_switch(&mut self, word: String, start: usize) -> Result<Item, UsageError> {
        let mut letters = word.get(start..).unwrap_or_default().chars();
        let Some(spelling) = letters.next().and_then(short) else {
            return Err(UsageError::UnknownOption(word));
        };
        let tail = letters.as_str();
        let glued = match tail.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if !tail.is_empty() && spelling.value != Value::None => Some(tail.to_owned()),
            None => None,
        };
        if glued.is_none() && !tail.is_empty() {
            self.bundle = Some((word.clone(), word.len() - tail.len()));
        }
        let value = self.value(spelling, glued, &word)?;
        Ok(Item::Switch {
            switch: spelling.switch,
            written: word,
            value,
        })
    }

    fn value(
        &mut self,
        spelling: &Spelling,
        glued: Option<String>,
        word: &str,
    ) -> Result<Option<String>, UsageError> {
        match (spelling.value, glued) {
            (Value::None, None) => Ok(None),
            (Value::None, Some(_)) => Err(UsageError::NeedlessValue(word.to_owned())),
            (_, Some(value)) => Ok(Some(value)),
            (Value::Required, None) => match self.rest.next() {
                Some(value) => Ok(Some(value)),
                None => Err(UsageError::MissingValue(word.to_owned())),
            },
            (Value::Optional, None) => {
                let next = self.rest.as_slice().first();
                let is_value = next.is_some_and(|next| !next.starts_with('-'));
                Ok(if is_value { self.rest.next() } else { None })
            }
        }
    }
}

impl Iterator for Words {
    type Item = Result<Item, UsageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((word, start)) = self.bundle.take() {
            return Some(self.bundled_switch(word, start));
        }
        let mut word = self.rest.next()?;
        if !self.plain && word == "--" {
            self.plain = true;
            word = self.rest.next()?;
        }
        if self.plain || word == "-" || !word.starts_with('-') {
            return Some(Ok(Item::Word(word)));
        }
        Some(if word.starts_with("--") {
            self.long_switch(word)
        } else {
            self.bundled_switch(word, 1)
        })
    }
}
