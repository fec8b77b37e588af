//! Options that stand before a command or verb.

use std::ffi::OsString;
use std::time::Duration;

use lvs_api::client::DEFAULT_LIMIT;

/// Exit code of a program that a signal ended, as the shell has it: this and the number of the signal.
pub(crate) const SIGNALLED: u8 = 128;

/// Exit code if whoever read the output has ended: as the shell has it for a program that SIGPIPE ends, as ipvsadm.
pub(crate) const BROKEN_PIPE: u8 = SIGNALLED + 13;

/// Takes `--timeout TIME` off the words before the command or verb; the time that lvsd has to answer.
///
/// Anywhere else the word is another option: `-L --timeout` lists timeouts, and verbs have a `--timeout` of their own.
/// So it is one here only if a time follows.
pub(crate) fn extract_timeout(words: &mut Vec<OsString>) -> Duration {
    let mut limit = DEFAULT_LIMIT;
    let mut place = 1;
    while let Some(word) = words.get(place).map(|word| word.to_string_lossy()) {
        if word == "--socket" {
            place += 2;
        } else if word.starts_with("--socket=") {
            place += 1;
        } else if let Some(time) = word.strip_prefix("--timeout=").and_then(time) {
            limit = time;
            words.remove(place);
        } else if word == "--timeout"
            && let Some(time) = words
                .get(place + 1)
                .and_then(|next| time(&next.to_string_lossy()))
        {
            limit = time;
            words.drain(place..place + 2);
        } else {
            break;
        }
    }
    limit
}

/// A time, with a unit or in seconds. Without one nobody would ever be answered.
fn time(word: &str) -> Option<Duration> {
    let seconds = word.parse().ok().map(Duration::from_secs);
    let time = seconds.or_else(|| humantime::parse_duration(word).ok());
    time.filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> (Duration, String) {
        let mut words: Vec<_> = line.split(' ').map(OsString::from).collect();
        let limit = extract_timeout(&mut words);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        (limit, words.join(" "))
    }

    #[test]
    fn a_timeout_stands_before_the_command() {
        let seconds = Duration::from_secs;
        for (line, limit, rest) in [
            ("lvsadm --timeout 3 -Ln", seconds(3), "lvsadm -Ln"),
            (
                "lvsadm --socket /s --timeout=500ms status",
                Duration::from_millis(500),
                "lvsadm --socket /s status",
            ),
            (
                "lvsadm --timeout 1m drain rs1 --timeout 5",
                seconds(60),
                "lvsadm drain rs1 --timeout 5",
            ),
        ] {
            assert_eq!(taken(line), (limit, rest.to_owned()), "{line}");
        }
    }

    #[test]
    fn ipvsadms_option_of_the_same_name_is_left_alone() {
        for line in [
            "ipvsadm --timeout -L",
            "ipvsadm -L --timeout",
            "lvsadm --timeout 0 -L",
            "lvsadm -A -t 192.0.2.1:80 --timeout 5",
            "lvsadm",
        ] {
            assert_eq!(taken(line), (DEFAULT_LIMIT, line.to_owned()));
        }
    }
}
