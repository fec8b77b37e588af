//! `preset = modern`: defaults that were not possible with ldirectord, for whoever begins today.

use std::time::Duration;

use super::keywords::Key;
use super::reader::File;
use super::settings::{Settings, Value};

/// Times the preset's intervals where a check runs a command: each is a process.
pub(super) const COMMANDS: u32 = 5;

/// Fills in what the preset of a file says and the file itself does not, as if it stood at its beginning.
pub(super) fn apply(file: &mut File) {
    let Some(line) = file.globals.get(Key::Preset).map(|entry| entry.line) else {
        return;
    };
    let word = |word: &str| Value::Text(word.to_owned());
    let time = |ms| Value::Time(Duration::from_millis(ms));
    // Older words that say the same go first.
    let defaults: [(Key, Option<Key>, Value); 10] = [
        (Key::OnDown, None, word("reset")),
        (Key::Redispatch, None, Value::Flag(true)),
        (Key::Interval, Some(Key::CheckInterval), time(400)),
        (Key::FastInterval, Some(Key::CheckInterval), time(100)),
        (Key::Fall, Some(Key::FailureCount), Value::Number(2)),
        (Key::Rise, None, Value::Number(2)),
        (Key::Jitter, None, Value::Number(10)),
        (Key::HangTimeout, None, time(250)),
        (Key::CheckTimeout, Some(Key::NegotiateTimeout), time(2000)),
        (Key::NegotiateTimeout, Some(Key::CheckTimeout), time(2000)),
    ];
    let said: Vec<bool> = defaults
        .iter()
        .map(|(key, older, _)| {
            let globals = &file.globals;
            globals.get(*key).is_some() || older.is_some_and(|key| globals.get(key).is_some())
        })
        .collect();
    for ((key, _, value), said) in defaults.into_iter().zip(said) {
        if !said {
            file.globals.push(key, line, value);
        }
    }
}

/// The advice for a file in ldirectord's words alone.
pub(super) fn advice(file: &File) -> Option<&'static str> {
    let words = [Key::Preset, Key::OnDown, Key::Redispatch];
    let silent = |settings: &Settings| words.iter().all(|key| settings.get(*key).is_none());
    let sections = &file.sections;
    let all = silent(&file.globals) && sections.iter().all(|section| silent(&section.settings));
    (all && !sections.is_empty()).then_some(ADVICE)
}

const ADVICE: &str = "neither ondown nor redispatch: clients of a server that dies wait for their own timeouts, often \
                      a minute, as with ldirectord. The line preset = modern at the beginning of the file turns on \
                      what is advised today: they are reset at once (ondown = reset), and new ones get another server \
                      after a second (redispatch = yes)";
