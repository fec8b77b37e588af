//! Numbers in six columns.

/// A number in six columns at most: `999999`, then `1.00M`, `12.3M`, `123M`. Thousands, not 1024.
pub(crate) fn compact(number: u64) -> String {
    if number < 1_000_000 {
        return number.to_string();
    }
    let mut unit = 1_000_000_u64;
    let mut letters = "MGTPE".chars();
    let mut letter = letters.next().unwrap_or('M');
    while number / unit >= 1_000
        && let Some(next) = letters.next()
    {
        unit *= 1_000;
        letter = next;
    }
    let whole = number / unit;
    let part = number % unit;
    match whole {
        0..10 => format!("{whole}.{:02}{letter}", part / (unit / 100)),
        10..100 => format!("{whole}.{}{letter}", part / (unit / 10)),
        _ => format!("{whole}{letter}"),
    }
}

/// A time in seven columns at most: its two largest units.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        (1..1_000, _, _) => format!("{days}d{hours:02}h"),
        _ => format!("{days}d"),
    }
}

/// The part in a hundred; 0 of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole));
    percent.unwrap_or(0).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_six_columns() {
        for (number, text) in [
            (0, "0"),
            (999_999, "999999"),
            (1_000_000, "1.00M"),
            (1_239_999, "1.23M"),
            (12_345_678, "12.3M"),
            (999_999_999, "999M"),
            (1_000_000_000, "1.00G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(compact(number), text);
        }
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m01s"),
            (7_200, "2h00m"),
            (90_000, "1d01h"),
            (999 * 86_400 + 5, "999d00h"),
            (1_000 * 86_400, "1000d"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn a_percentage_of_nothing_is_none() {
        assert_eq!(percent(1, 0), 0);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
