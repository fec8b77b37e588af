//! A time on the command line.

use std::time::Duration;

/// Reads a number with its unit, or of seconds.
pub(super) fn time(word: &str) -> Result<Duration, String> {
    match word.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(word).map_err(|error| error.to_string()),
    }
}
